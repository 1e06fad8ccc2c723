# SPDX-License-Identifier: Apache-2.0
"""The journal: what it acknowledged it gives back; a torn end is mended, a damaged line named."""

from __future__ import annotations

import errno
import os
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import records, score

from policy_lake.errors import InfraError, InputError
from policy_lake.files import locked
from policy_lake.journal import Journal, encode
from policy_lake.model import Lesson, from_json
from policy_lake.records import KINDS, LakeError, Run
from policy_lake.scores import Pair, Ratio


def lesson(number: int, text: str = "short slices help") -> Lesson:
    return Lesson(f"l{number}", "run", "batch", "rr", text)


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append([encode(lesson(n)) for n in range(3)])
    return journal


def ids(journal: Journal) -> list[str]:
    return [line.data["id"] for line in journal.read()]


@given(st.lists(records, min_size=1, max_size=4))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_record_comes_back_equal(tmp_path, batch):
    path = tmp_path / "journal.jsonl"
    path.unlink(missing_ok=True)
    journal = Journal(path)
    journal.append([encode(record) for record in batch])
    lines = list(journal.read())
    assert [from_json(KINDS[line.kind], line.data) for line in lines] == batch
    assert lines[-1].end == journal.size() and path.read_bytes().count(b"\n") == len(batch)


def test_reading_starts_where_an_earlier_line_ended(journal):
    first = next(journal.read())
    assert [line.data["id"] for line in journal.read(first.end)] == ["l1", "l2"]


@pytest.mark.parametrize("cut", [1, 2, 40, 120])
def test_a_torn_last_line_is_dropped_and_reported(journal, cut):
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole[:-cut])
    assert ids(journal) == ["l0", "l1"]
    message = journal.mend()
    assert f"{journal.path}:3" in message and "torn" in message
    journal.append([encode(lesson(9))])
    # Only the newline missing: the record itself is whole, and stays.
    assert ids(journal) == (["l0", "l1", "l2", "l9"] if cut == 1 else ["l0", "l1", "l9"])
    assert journal.mend() == ""


def test_a_tail_of_zeros_is_torn_too(journal):
    with journal.path.open("ab") as file:
        file.write(bytes(4096))
    assert "4096 bytes were dropped" in journal.mend()
    assert ids(journal) == ["l0", "l1", "l2"]


def test_a_damaged_middle_line_is_named(journal):
    content = journal.path.read_bytes()
    second = content.index(b"\n") + 100
    journal.path.write_bytes(content[:second] + bytes([content[second] ^ 1]) + content[second + 1 :])
    with pytest.raises(LakeError, match=rf"{journal.path}:2: the line is damaged") as caught:
        ids(journal)
    assert "\n" not in str(caught.value)


@given(place=st.integers(min_value=0), flip=st.integers(1, 255))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_flipped_byte_goes_unnoticed(tmp_path, place, flip):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.path.unlink(missing_ok=True)
    journal.append([encode(lesson(n)) for n in range(2)])
    content = bytearray(journal.path.read_bytes())
    place %= content.index(b"\n")  # anywhere in the first line
    content[place] ^= flip
    journal.path.write_bytes(content)
    with pytest.raises(LakeError, match=r"journal.jsonl:1: "):
        ids(journal)


def test_a_kind_from_a_later_version_is_an_error_not_a_loss(journal, monkeypatch):
    monkeypatch.setitem(KINDS, "runs", Run)
    journal.append([encode(Run("r", "batch", "done", "2026-11-22T10:00:00Z"))])
    monkeypatch.delitem(KINDS, "runs")
    with pytest.raises(LakeError, match=r":4: the line holds the unknown kind 'runs'"):
        ids(journal)


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_leaves_the_journal_as_it_was(journal, monkeypatch, call):
    before = journal.path.read_bytes()
    real = getattr(os, call)

    def full(fd, *rest):
        if call == "write":
            real(fd, bytes(rest[0])[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(InfraError, match="No space left on device; the record was not stored"):
        journal.append([encode(lesson(3))])
    assert journal.path.read_bytes() == before


def test_a_record_is_synced_before_append_returns(journal, monkeypatch):
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.fstat(fd).st_size), real(fd)))
    journal.append([encode(lesson(3))])
    assert synced == [journal.size()]


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (lesson(1, "lone \ud800 surrogate"), "'l1' cannot be stored as JSON"),
        (replace(score("r"), ratio=Ratio(float("nan"), (1.0, 1.0))), "'r' cannot be stored as JSON"),
        (Run("r", "batch", "done", "", summary={"ratio": object()}), "'r' cannot be stored as JSON"),
        (Lesson("", "run", "batch", "rr", "x"), "without an id"),
        (Ratio(1.0, (1.0, 1.0)), "keeps no Ratio, only policies"),
        (Pair(1.0, 1.0), "keeps no Pair"),
    ],
)
def test_what_cannot_be_kept_is_bad_input(record, why):
    with pytest.raises(InputError, match=why):
        encode(record)


def test_the_lock_is_held_against_others_and_then_free(tmp_path):
    with (
        locked(tmp_path / "lock"),
        pytest.raises(InfraError, match="another process has held the lock"),
        locked(tmp_path / "lock", timeout_s=0.05),
    ):
        pass
    with locked(tmp_path / "lock", timeout_s=0.05):
        pass

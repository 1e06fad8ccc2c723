# SPDX-License-Identifier: Apache-2.0
"""The audit log in files of bounded size: the chain goes on from one to the next, and what is taken away is a hole."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import pytest

from host_agent import audit, chain, segments
from host_agent.audit import HEAD, Audit, _head_line, verify
from host_agent.chain import ChainError, Fault, Head
from host_agent.segments import LOG, old_files, walk
from policy_lake.errors import InfraError

NONE = Head()


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "SEGMENT_BYTES", 1500)
    monkeypatch.setattr(segments, "MOST_OLD", 3)
    monkeypatch.setattr(audit, "KEPT", 4)


def filled(directory: Path, entries: int) -> Audit:
    log = Audit(directory, least=NONE)
    for number in range(entries):
        log.add("refused", code="expired", number=number)
    return log


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_new_file_follows_the_old_one_and_there_are_no_more_than_so_many(tmp_path: Path) -> None:
    log = filled(tmp_path, 100)
    assert len(old_files(tmp_path)) == 3 and (tmp_path / LOG).stat().st_size < 2000
    files = [lines for _, lines, _ in walk(tmp_path)]
    for before, after in itertools.pairwise(files):
        assert after[0].previous == before[-1].sha256 and after[0].seq == before[-1].seq + 1
        assert after[0].data["what"] == "rotated"
    assert verify(tmp_path, log.head) == log.head == Head(files[-1][-1].seq, files[-1][-1].sha256)
    numbers = [line.data["number"] for lines in files for line in lines if "number" in line.data]
    assert numbers == list(range(numbers[0], 100)) and numbers[0] > 0
    (tmp_path / HEAD).unlink()  # that the first entry is gone takes no identity away
    (tmp_path / HEAD).write_bytes(_head_line(log.head, ""))
    again = Audit(tmp_path, least=log.head)
    assert again.id == log.id != ""
    again.add("started")
    assert verify(tmp_path).seq == log.head.seq + 1


def test_entries_of_old_files_are_told_from_the_first_that_is_kept(tmp_path: Path) -> None:
    log = filled(tmp_path, 30)
    first = next(walk(tmp_path))[1][0].seq
    told = log.since(0, most=1000)
    assert [line.seq for line in told] == list(range(first, log.head.seq + 1))
    assert [line.seq for line in log.since(log.head.seq - 1)] == [log.head.seq]
    assert [line.seq for line in log.since(first, most=2)] == [first + 1, first + 2]


@pytest.mark.parametrize("which", range(3))
def test_a_file_that_is_taken_away_is_found(tmp_path: Path, which: int) -> None:
    log = filled(tmp_path, 60)
    old_files(tmp_path)[which].unlink()
    with pytest.raises(ChainError) as caught:
        verify(tmp_path)
    assert caught.value.fault is Fault.REMOVED and "entr" in str(caught.value)
    with pytest.raises(ChainError):
        Audit(tmp_path, least=log.head)


def test_the_file_that_grows_taken_away_is_a_log_cut_off(tmp_path: Path) -> None:
    log = filled(tmp_path, 60)
    (tmp_path / LOG).unlink()
    with pytest.raises(ChainError, match="cut off") as caught:
        verify(tmp_path, log.head)
    assert caught.value.fault is Fault.CUT_OFF


def test_an_edit_in_an_old_file_is_found_with_its_line(tmp_path: Path) -> None:
    filled(tmp_path, 60)
    path = old_files(tmp_path)[1]
    path.write_bytes(path.read_bytes().replace(b'"code":"expired"', b'"code":"revoked"', 1))
    with pytest.raises(ChainError, match=rf"{path.name}:2: the line was edited"):
        verify(tmp_path)


def test_a_beginning_that_no_entry_lets_it_have_is_found(tmp_path: Path) -> None:
    filled(tmp_path, 5)
    lines = (tmp_path / LOG).read_bytes().splitlines(keepends=True)
    (tmp_path / LOG).write_bytes(b"".join(lines[2:]))
    (tmp_path / LOG).rename(tmp_path / "audit.0000000000000003.jsonl")
    with pytest.raises(ChainError, match="begins with entry") as caught:
        verify(tmp_path)
    assert caught.value.fault is Fault.REMOVED


@pytest.mark.parametrize("at", ["rename", "line", "head", "unlink"])
def test_what_ends_the_agent_in_the_midst_of_it_leaves_a_log_that_holds_and_goes_on(
    tmp_path: Path, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = filled(tmp_path, 60)
    before = log.head

    def ends(*_args: Any, **_more: Any) -> None:
        raise OSError(28, "No space left on device")

    def infra(*_args: Any, **_more: Any) -> None:
        raise InfraError("No space left on device")

    places = {"rename": (Path, "rename", ends), "line": (chain, "write_all", ends),
              "head": (audit, "atomic_write", infra), "unlink": (Path, "unlink", ends)}  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(audit, "SEGMENT_BYTES", 0)
        place, name, how = places[at]
        patch.setattr(place, name, how)
        if at == "unlink":
            log.add("started")  # one old file too many is no reason to attach nothing
        else:
            with pytest.raises(InfraError, match="No space"):
                log.add("started")
    assert verify(tmp_path, before).seq >= before.seq
    again = Audit(tmp_path, least=before)
    again.add("resume")
    for number in range(40):
        log_entry = again.add("refused", number=number)
    assert verify(tmp_path, log_entry) == log_entry and len(old_files(tmp_path)) <= 3


def test_the_same_agent_goes_on_after_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = filled(tmp_path, 10)
    with monkeypatch.context() as patch:
        patch.setattr(audit, "SEGMENT_BYTES", 0)
        patch.setattr(chain.Chain, "_write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        for _ in range(3):
            with pytest.raises(InfraError):
                log.add("started")
    for number in range(30):
        log.add("refused", number=number)
    assert verify(tmp_path, log.head) == log.head
    assert os.path.lexists(tmp_path / LOG) and all(name.startswith("audit.") for name in names(tmp_path))

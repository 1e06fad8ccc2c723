# SPDX-License-Identifier: Apache-2.0
"""The audit log: whatever is edited, removed, moved or cut off is found, with the line."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from host_agent import audit, chain
from host_agent.audit import HEAD, LOG, Audit, log_id, verify
from host_agent.chain import ChainError, Head, encoded
from policy_lake.errors import InfraError
from policy_lake.strict_json import strict_object

NONE = Head()


def filled(directory: Path, entries: int = 5) -> Audit:
    log = Audit(directory, least=NONE, clock=lambda: datetime(2026, 1, 2, tzinfo=UTC))
    for number in range(entries):
        log.add("refused", code="expired", number=number)
    return log


def lines(directory: Path) -> list[bytes]:
    return (directory / LOG).read_bytes().splitlines(keepends=True)


def test_a_log_that_was_left_alone_holds_and_goes_on(tmp_path: Path) -> None:
    head = filled(tmp_path).head
    assert verify(tmp_path) == verify(tmp_path, head) == head and head.seq == 5
    again = Audit(tmp_path, least=head)
    again.add("started")
    assert verify(tmp_path, again.head).seq == 6
    assert [line.data["what"] for line in again.since(4)] == ["refused", "started"]
    assert again.since(4)[0].data == {
        "at": "2026-01-02T00:00:00+00:00",
        "what": "refused",
        "code": "expired",
        "number": 4,
    }


def test_a_log_has_an_identity_that_it_keeps_and_another_log_another(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    one, other = (Audit(tmp_path / name, least=NONE) for name in ("a", "b"))
    assert one.id == ""
    for log in (one, other):
        log.add("started")
        log.add("resume")
    assert one.id != other.id and Audit(tmp_path / "a", least=NONE).id == one.id == log_id(one.since(0))
    assert "log" not in one.since(1)[0].data
    (tmp_path / "a" / HEAD).write_bytes(audit._head_line(one.head, other.id))
    with pytest.raises(ChainError, match="it is the log"):
        verify(tmp_path / "a")


def test_the_log_of_an_older_agent_has_none_and_goes_on(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(audit.secrets, "token_hex", lambda size: "")
    log = Audit(tmp_path, least=NONE)
    log.add("started")
    first = tmp_path / "audit.jsonl"
    line, head = encoded(NONE, {"at": "2026", "what": "started"})
    first.write_bytes(line)
    (tmp_path / HEAD).write_bytes(audit._head_line(head, ""))
    again = Audit(tmp_path, least=head)
    again.add("resume")
    assert again.id == "" == Audit(tmp_path, least=again.head).id and b'"log"' not in (tmp_path / HEAD).read_bytes()


def test_no_log_is_an_empty_one(tmp_path: Path) -> None:
    assert verify(tmp_path) == NONE


@pytest.mark.parametrize("at", range(5))
def test_an_edited_line_is_found(tmp_path: Path, at: int) -> None:
    filled(tmp_path)
    changed = lines(tmp_path)
    changed[at] = changed[at].replace(b'"number":%d' % at, b'"number":9')
    (tmp_path / LOG).write_bytes(b"".join(changed))
    with pytest.raises(ChainError, match=f"{LOG}:{at + 1}: "):
        verify(tmp_path)


@pytest.mark.parametrize("at", range(5))
def test_a_removed_line_is_found(tmp_path: Path, at: int) -> None:
    filled(tmp_path)
    left = lines(tmp_path)
    del left[at]
    (tmp_path / LOG).write_bytes(b"".join(left))
    with pytest.raises(ChainError, match=LOG):
        verify(tmp_path)


@pytest.mark.parametrize("at", range(4))
def test_two_that_changed_places_are_found(tmp_path: Path, at: int) -> None:
    filled(tmp_path)
    moved = lines(tmp_path)
    moved[at], moved[at + 1] = moved[at + 1], moved[at]
    (tmp_path / LOG).write_bytes(b"".join(moved))
    with pytest.raises(ChainError, match=f"{LOG}:{at + 1}: "):
        verify(tmp_path)


@pytest.mark.parametrize("cut", [1, 10, 200, 700])
def test_a_log_that_was_cut_is_found_by_its_head_and_by_the_journals(tmp_path: Path, cut: int) -> None:
    head = filled(tmp_path).head
    content = (tmp_path / LOG).read_bytes()
    (tmp_path / LOG).write_bytes(content[:-cut])
    with pytest.raises(ChainError, match="cut off"):
        verify(tmp_path)
    (tmp_path / HEAD).unlink()
    with pytest.raises(ChainError, match="cut off"):
        verify(tmp_path, head)


def test_a_log_written_anew_from_some_line_on_is_found(tmp_path: Path) -> None:
    head = filled(tmp_path).head
    (tmp_path / LOG).write_bytes(b"".join(lines(tmp_path)[:3]))
    (tmp_path / HEAD).unlink()
    with pytest.raises(ChainError, match="is gone"):
        verify(tmp_path)
    (tmp_path / HEAD).write_bytes(audit._head_line(Head(3, verify_line(tmp_path, 3)), ""))
    forged = Audit(tmp_path, least=NONE)
    for _ in range(2):
        forged.add("attached")
    verify(tmp_path)  # log and head agree
    with pytest.raises(ChainError, match=f"{LOG}:5: not the entry that the journal knows"):
        verify(tmp_path, head)


def verify_line(directory: Path, number: int) -> str:
    return str(strict_object(lines(directory)[number - 1], most=10_000)["sha256"])


def test_no_log_beside_a_head_is_found(tmp_path: Path) -> None:
    head = filled(tmp_path).head
    (tmp_path / LOG).unlink()
    for least in (NONE, head):
        with pytest.raises(ChainError, match="cut off: it has 0 entries"):
            verify(tmp_path, least)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"seq":1}', b'{"seq": 5, "sha256": "x"}\n', b"\xff"])
def test_a_damaged_head_is_found(tmp_path: Path, content: bytes) -> None:
    filled(tmp_path)
    (tmp_path / HEAD).write_bytes(content)
    with pytest.raises(ChainError, match=HEAD):
        verify(tmp_path)


def test_a_crash_between_line_and_head_is_no_fraud(tmp_path: Path, monkeypatch: Any) -> None:
    log = filled(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(audit, "atomic_write", lambda *_args, **_more: (_ for _ in ()).throw(InfraError("full")))
        with pytest.raises(InfraError):
            log.add("started")
    with (tmp_path / LOG).open("ab") as file:
        file.write(b'{"data":{"at":')
    again = Audit(tmp_path, least=Head(5, verify_line(tmp_path, 5)))
    assert again.add("started").seq == 7 and verify(tmp_path).seq == 7


def test_on_a_full_disk_an_entry_is_not_half_written(tmp_path: Path, monkeypatch: Any) -> None:
    log = filled(tmp_path)
    before = (tmp_path / LOG).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(chain, "LARGEST_FILE", len(before) + 10)
        with pytest.raises(InfraError, match="grow"):
            log.add("started")
    assert (tmp_path / LOG).read_bytes() == before and log.add("started").seq == 6


def test_what_a_stranger_said_is_cut_and_stays_in_its_line(tmp_path: Path) -> None:
    log = filled(tmp_path, 0)
    log.add("refused", message="x\n" * 10_000)
    assert len(lines(tmp_path)) == 1 and verify(tmp_path).seq == 1


def test_entries_from_before_the_ones_in_memory_are_read_from_the_file(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(audit, "KEPT", 3)
    log = filled(tmp_path, 6)
    assert [line.seq for line in log.since(0)] == [1, 2, 3, 4, 5, 6]
    assert [line.seq for line in log.since(4)] == [5, 6] and [line.seq for line in log.since(0, most=2)] == [1, 2]

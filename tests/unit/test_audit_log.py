# SPDX-License-Identifier: Apache-2.0
"""The audit log as its readers take it: each line follows the one before, and the head tells how far it goes.

What a signer that is killed leaves of it is met in tests/integration.
"""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from token_cases import refusal, sha

from policy_lake.model import to_json
from verifier_vm.tokens import audit_log
from verifier_vm.tokens.audit_log import HEAD, LOG, NOTHING, Entry, Head, Log, finished_lines, line_of, read_head
from verifier_vm.tokens.dsse import HEAD_TYPE, canonical_json, seal
from verifier_vm.tokens.errors import Code, TokenError
from verifier_vm.tokens.key_store import write_head
from verifier_vm.tokens.private_key import SigningKey
from verifier_vm.tokens.terms import LogPlace

KEY = SigningKey(Ed25519PrivateKey.generate())
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def issued(known: Head, **fields: Any) -> Entry:
    """The issue of a token, behind `known`."""
    event = "issued" if known.seq else "opened"
    return Entry(known.seq + 1, NOW, event, known.sha256, **fields)  # type: ignore[arg-type]


def written(count: int) -> tuple[list[bytes], list[Head]]:
    """A log of so many entries, and the head behind each."""
    lines, heads = [], [Head()]
    for number in range(count):
        entry = issued(heads[-1], token_sha256=sha(str(number)), audience="host", version=number, revocations=1)
        lines.append(line_of(entry, KEY))
        heads.append(heads[-1].after(entry, lines[-1]))
    return lines, heads[1:]


def read(directory: Any, content: bytes, head: Head) -> Log:
    (directory / LOG).write_bytes(content)
    write_head(directory, head, KEY)
    return audit_log.read_log(directory, KEY.public)


def test_an_empty_log_is_what_the_first_entry_follows() -> None:
    assert Head() == Head(0, "0" * 64, 0, 0, 0, {}) and Head().sha256 == NOTHING
    entry = Entry(1, NOW, "opened", NOTHING)
    assert (entry.version, entry.revocations) == (0, 0)


def test_the_head_keeps_each_host_s_latest_version_and_the_list_s() -> None:
    head = Head(3, sha("3"), 10, 20, 7, {"a": 5, "b": 6})
    after = head.after(issued(head, audience="a", version=9), b"x" * 5)
    assert after == Head(4, sha("xxxxx"), 20, 25, 7, {"a": 9, "b": 6})
    revoked = replace(issued(head), event="revoked", revocations=8)
    assert head.after(revoked, b"y") == Head(4, sha("y"), 20, 21, 8, {"a": 5, "b": 6})


def test_a_log_holds_its_lines_each_in_its_place(tmp_path) -> None:
    lines, heads = written(3)
    log = read(tmp_path, b"".join(lines), heads[-1])
    assert not log.unfinished and log.head == heads[-1] and len(log.entries) == 3
    assert log.digests == tuple(head.sha256 for head in heads)
    places = [(seq, sha256) for seq in range(5) for sha256 in log.digests if log.holds(seq, sha256)]
    assert places == [*((0, sha256) for sha256 in log.digests), *enumerate(log.digests, 1)]


def test_a_token_is_in_the_log_where_it_was_issued_and_nowhere_else() -> None:
    first = Entry(1, NOW, "issued", NOTHING, token_sha256=sha("0"))
    last = replace(first, seq=2, previous=sha("first"), token_sha256=sha("1"))
    log = Log((first, last), Head(), (), unfinished=False)
    assert log.has_token(LogPlace(1, NOTHING), sha("0")) and log.has_token(LogPlace(2, sha("first")), sha("1"))
    for seq in (-1, 0, 1, 3, 4):
        assert not log.has_token(LogPlace(seq, sha("first")), sha("1"))
    assert not log.has_token(LogPlace(2, sha("first")), sha("0"))
    assert not log.has_token(LogPlace(2, NOTHING), sha("1"))
    revoked = Log((first, replace(last, event="revoked")), Head(), (), unfinished=False)
    assert not revoked.has_token(LogPlace(2, sha("first")), sha("1"))


@pytest.mark.parametrize(
    ("content", "signed", "lines"),
    [
        (b"", 0, []), (b"1\n2\n", 0, [b"1\n", b"2\n"]), (b"1\n2", 0, [b"1\n"]), (b"1\n{", 0, [b"1\n"]),
        (b"1\n{", 2, [b"1\n"]), (b"1\n{", 3, [b"1\n", b"{"]), (b"1\n{\n", 0, [b"1\n"]),
        (b"{\n1\n", 0, [b"{\n", b"1\n"]),
        (b"1\n{\n2\n", 0, [b"1\n", b"{\n", b"2\n"]), (b"1\n", 9, [b"1\n"]), (b"{", 0, []), (b"{", 1, [b"{"]),
        (b"1\n" + b"[" * 100_000, 0, [b"1\n"]),
    ],
    ids=range(13),
)  # fmt: skip
def test_only_a_last_line_behind_what_was_signed_may_be_unfinished(content, signed, lines) -> None:
    assert list(islice(finished_lines(content, signed), 4)) == lines


@pytest.mark.parametrize("rest", [b'{"entry":', b"[" * 100_000], ids=["half", "deep"])
def test_what_is_unfinished_behind_the_head_is_said_and_left(tmp_path, rest) -> None:
    lines, heads = written(2)
    log = read(tmp_path, b"".join(lines) + rest, heads[-1])
    assert log.unfinished and len(log.entries) == 2 and log.head == heads[-1]
    log = read(tmp_path, b"".join(lines), heads[0])
    assert not log.unfinished and len(log.entries) == 2 and log.head == heads[1]


def wrongly_signed(line: bytes) -> bytes:
    said = json.loads(line)
    sig = base64.b64decode(said["sig"])
    return canonical_json({**said, "sig": base64.b64encode(bytes(64 - len(sig[1:])) + sig[1:]).decode()}) + b"\n"


def test_the_last_entry_s_own_signature_counts_and_so_do_those_behind_the_head(tmp_path) -> None:
    (first, last), heads = written(2)
    forged = wrongly_signed(last)
    entry = issued(heads[0], token_sha256=sha("1"), audience="host", version=1, revocations=1)
    for head in (heads[0], heads[0].after(entry, forged)):
        with pytest.raises(TokenError, match="entry 2: its signature is wrong") as caught:
            read(tmp_path, first + forged, head)
        assert caught.value.code is Code.LOG_BROKEN
    assert read(tmp_path, first + last, heads[0])


@pytest.mark.parametrize(
    "change",
    [
        lambda head: replace(head, versions={}), lambda head: replace(head, revocations=9),
        lambda head: replace(head, sha256=sha("x"), size=head.size - 1), lambda head: replace(head, size=head.size + 1),
        lambda head: replace(head, seq=head.seq + 1, size=head.size - 1), lambda head: replace(head, sha256=sha("x")),
    ],
)  # fmt: skip
def test_a_head_that_tells_of_another_log_is_refused(tmp_path, change) -> None:
    lines, heads = written(3)
    with refusal(Code.LOG_BROKEN):
        read(tmp_path, b"".join(lines), change(heads[-1]))


@pytest.mark.parametrize(
    ("head", "good"),
    [(Head(1, sha("x"), 0, 1), True), (Head(1, sha("x"), 1, 2), True), (Head(1, sha("x"), 1, 1), False),
     (Head(1, sha("x"), -1, 1), False), (Head(0, sha("x"), 0, 1), False), (Head(), False)],
)  # fmt: skip
def test_a_head_names_one_entry_at_least(head, good) -> None:
    envelope = seal(canonical_json(to_json(head)), KEY, kind=HEAD_TYPE)
    if good:
        assert read_head(envelope, KEY.public) == head
    else:
        with refusal(Code.LOG_BROKEN):
            read_head(envelope, KEY.public)


@pytest.mark.parametrize("payload", [b"no JSON", b"[]", b"{}", b'{"seq":"1"}'])
def test_what_is_no_head_though_well_signed_is_refused(payload) -> None:
    with refusal(Code.LOG_BROKEN):
        read_head(seal(payload, KEY, kind=HEAD_TYPE), KEY.public)


def test_a_line_is_read_only_as_the_signer_writes_it() -> None:
    (line,), _ = written(1)
    said = json.loads(line)
    sig = said["sig"]
    spaced = {**said, "sig": f"{sig[:8]}!{sig[8:]}"}  # which a lenient reader of base64 skips
    less = ({"entry": said["entry"]}, {"sig": sig}, {**said, "sig": None}, {**said, "entry": []}, [], 7)
    for changed in ({**said, "more": 1}, spaced, *less):
        with refusal(Code.LOG_BROKEN):
            audit_log.read_line(canonical_json(changed) + b"\n", Head(), KEY.public)
    for changed in (line[:-1], line + b" ", b" " + line, b"[" * 100_000, b""):
        with refusal(Code.LOG_BROKEN):
            audit_log.read_line(changed, Head(), KEY.public)
    assert audit_log.read_line(line, Head(), KEY.public).event == "opened"
    assert audit_log.read_line(wrongly_signed(line), Head(), None).event == "opened", "another signature covers it"


@pytest.mark.parametrize(
    ("seq", "event", "previous", "good"),
    [(3, "issued", sha("2"), True), (2, "issued", sha("2"), False), (4, "issued", sha("2"), False),
     (3, "issued", sha("1"), False), (3, "opened", sha("2"), False)],
)  # fmt: skip
def test_a_line_follows_the_one_before_and_a_log_is_opened_once(seq, event, previous, good) -> None:
    known = Head(2, sha("2"), 5, 9)
    line = line_of(Entry(seq, NOW, event, previous), KEY)
    if good:
        assert audit_log.read_line(line, known, KEY.public).seq == seq
    else:
        with refusal(Code.LOG_BROKEN):
            audit_log.read_line(line, known, KEY.public)


def test_a_first_entry_opens_the_log() -> None:
    with refusal(Code.LOG_BROKEN):
        audit_log.read_line(line_of(Entry(1, NOW, "issued", NOTHING), KEY), Head(), KEY.public)


def test_a_log_of_up_to_256_mib_is_read(tmp_path, monkeypatch) -> None:
    """On either side of a limit that is given: tests/integration/test_files.py."""
    lines, heads = written(1)
    write_head(tmp_path, heads[0], KEY)
    limits: dict[str, int] = {}

    def read_bounded(path, *, limit=1 << 20):
        limits[path.name] = limit
        return lines[0] if path.name == LOG else path.read_bytes()

    monkeypatch.setattr(audit_log, "read_bounded", read_bounded)
    assert audit_log.read_log(tmp_path, KEY.public).entries
    assert limits == {HEAD: 1 << 20, LOG: 256 << 20}

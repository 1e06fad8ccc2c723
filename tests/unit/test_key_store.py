# SPDX-License-Identifier: Apache-2.0
"""The signer's key store: what it writes, what it goes on from, and what it does not begin anew."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from token_cases import refusal, sha, trust

from policy_lake.errors import InfraError
from verifier_vm.tokens.audit_log import HEAD, LOG, Entry, Head
from verifier_vm.tokens.errors import Code, KeyFileError, TokenError
from verifier_vm.tokens.key_store import KeyStore, open_key_store
from verifier_vm.tokens.private_key import BEGINNING, PRIVATE, signing_key
from verifier_vm.tokens.public_key import PUBLIC
from verifier_vm.tokens.revocation import REVOCATIONS, RevocationList, Revoked, write_revocations

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NONCE, OBJECT = Revoked("nonce", "ab" * 16, "it leaks", NOW), Revoked("object", sha("bad"), "it stalls", NOW)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A store with a first entry and nothing revoked."""
    with open_key_store(tmp_path / "keys"):
        return tmp_path / "keys"


def logged(directory: Path) -> list[Entry]:
    return list(trust(directory)["log"].entries)


def events(directory: Path) -> list[str]:
    return [entry.event for entry in logged(directory)]


def write_list(directory: Path, version: int, *revoked: Revoked) -> None:
    write_revocations(directory, RevocationList(version, revoked), signing_key(directory))


def issue(directory: Path) -> None:
    with open_key_store(directory) as store:
        store.append("issued", audience="host", version=5)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize("mask", [0, 0o077])
def test_a_new_store_has_one_entry_an_empty_list_and_files_that_all_may_read(tmp_path, mask) -> None:
    with umask(mask), open_key_store(tmp_path / "keys") as store:
        assert store.next_place.seq == 2 and store.next_place.previous == store.head.sha256
    known = trust(tmp_path / "keys")
    assert known["revocations"] == RevocationList(1) and events(tmp_path / "keys") == ["opened"]
    modes = {name: (tmp_path / "keys" / name).stat().st_mode & 0o777 for name in (HEAD, REVOCATIONS, PUBLIC)}
    assert set(modes.values()) == {0o644}
    assert mask or (tmp_path / "keys" / LOG).stat().st_mode & 0o777 == 0o644


def test_opening_it_again_changes_nothing(keys) -> None:
    before = {path.name: (path.read_bytes(), path.stat().st_ino) for path in keys.iterdir()}
    with open_key_store(keys) as store:
        assert store.revocations == RevocationList(1) and store.head.seq == 1
    assert {path.name: (path.read_bytes(), path.stat().st_ino) for path in keys.iterdir()} == before


def test_what_a_killed_writer_had_not_put_in_its_place_is_removed(keys) -> None:
    (keys / f".{HEAD}.0123456789ab.part").write_bytes(b"half")
    issue(keys)
    assert not [path for path in keys.iterdir() if path.name.endswith(".part")]


@pytest.mark.parametrize(
    ("given", "now_ms", "version"), [({}, 0, 1), ({}, 1500, 1500), ({"host": 1500}, 1500, 1501), ({"other": 9}, 7, 7)]
)
def test_a_version_is_above_all_that_the_host_was_given_and_grows_with_time(keys, given, now_ms, version) -> None:
    store = KeyStore(keys, signing_key(keys), Head(versions=given))
    assert store.next_version("host", datetime.fromtimestamp(now_ms / 1000, UTC)) == version


def test_an_entry_is_of_a_second_and_follows_the_last(keys) -> None:
    with open_key_store(keys) as store:
        place = store.next_place
        entry = store.append("issued", audience="host", version=7)
        assert (entry.seq, entry.previous, entry.time.microsecond) == (place.seq, place.previous, 0)
        assert store.next_version("host", datetime.fromtimestamp(0, UTC)) == 8
    assert logged(keys)[-1] == entry and trust(keys)["log"].head == store.head


def test_each_revocation_is_listed_and_logged_once(keys) -> None:
    with open_key_store(keys) as store:
        versions = [store.revoke(one).version for one in (NONCE, OBJECT, NONCE, OBJECT)]
    assert versions == [2, 3, 3, 3] and trust(keys)["revocations"] == RevocationList(3, (NONCE, OBJECT))
    said = [(entry.event, entry.nonce, entry.object_sha256, entry.revocations) for entry in logged(keys)[1:]]
    assert said == [("revoked", NONCE.value, "", 2), ("revoked", "", OBJECT.value, 3)]
    issue(keys)
    assert trust(keys)["log"].head.revocations == 3 and logged(keys)[1].reason == "it leaks"


def test_a_lost_list_is_restored_from_the_log(keys) -> None:
    with open_key_store(keys) as store:
        store.revoke(NONCE)
        store.revoke(OBJECT)
    (keys / REVOCATIONS).unlink()
    with pytest.raises(TokenError, match="`schedcp token restore` makes the list anew"):
        issue(keys)
    with open_key_store(keys, restoring=True) as store:
        made = store.restore()
    found = [(one.kind, one.value, one.reason) for one in made.revoked]
    assert found == [(one.kind, one.value, one.reason) for one in (NONCE, OBJECT)]
    known = trust(keys)
    assert known["revocations"].version == known["log"].head.revocations == 4 and events(keys)[-1] == "restored"


def test_a_list_that_is_one_ahead_of_its_log_is_logged(keys) -> None:
    with open_key_store(keys) as store:
        store.revoke(NONCE)
    for version, more, said in ((3, (OBJECT,), "revoked"), (4, (OBJECT,), "restored")):
        write_list(keys, version, NONCE, *more)
        before = len(logged(keys))
        issue(keys)
        entries = logged(keys)[before:]
        assert [entry.event for entry in entries] == [said, "issued"] and entries[0].revocations == version
        assert entries[0].object_sha256 == (OBJECT.value if said == "revoked" else "") and entries[0].nonce == ""


@pytest.mark.parametrize(("version", "code"), [(4, Code.LOG_BROKEN), (1, Code.OLD_REVOCATIONS)])
def test_a_list_that_is_further_ahead_or_behind_is_refused(keys, version, code) -> None:
    with open_key_store(keys) as store:
        store.revoke(NONCE)
    write_list(keys, version, NONCE)
    with refusal(code):
        issue(keys)


def test_a_beginning_that_was_cut_short_is_gone_on_with(keys) -> None:
    log = (keys / LOG).read_bytes()
    (keys / HEAD).unlink()
    (keys / PRIVATE).rename(keys / BEGINNING)
    issue(keys)
    assert (keys / LOG).read_bytes().startswith(log) and events(keys) == ["opened", "issued"], "its entry was there"
    for name, left in ((LOG, log[:20]), (LOG, b""), (LOG, None), (REVOCATIONS, None)):
        for path in (keys / HEAD, keys / LOG):
            path.unlink(missing_ok=True)
        (keys / PRIVATE).rename(keys / BEGINNING)
        if left is not None:
            (keys / name).write_bytes(left)
        elif name == REVOCATIONS:
            (keys / name).unlink()
        issue(keys)
        assert events(keys) == ["opened", "issued"] and trust(keys)["revocations"] == RevocationList(1)
        assert (keys / PRIVATE).exists() and not (keys / BEGINNING).exists()


@pytest.mark.parametrize("gone", [(LOG,), (HEAD,), (LOG, HEAD), (LOG, HEAD, REVOCATIONS)], ids=str)
def test_a_log_that_is_gone_beside_a_key_is_no_beginning(keys, gone) -> None:
    """All of it deleted looked like a new store: revoked tokens were good again."""
    for name in gone:
        (keys / name).unlink()
    before = sorted(path.name for path in keys.iterdir())
    with refusal(Code.LOG_GONE):
        issue(keys)
    assert sorted(path.name for path in keys.iterdir()) == before


def test_an_edited_line_stops_the_signer_wherever_it_is(keys) -> None:
    for _ in range(3):
        issue(keys)
    first, second, *rest = (keys / LOG).read_bytes().splitlines(keepends=True)
    for edited in (
        [first.replace(b'"event":"opened"', b'"event":"issued"'), second, *rest], [first, first, *rest],
        [first, second.replace(b'"version":5', b'"version":4'), *rest],
    ):  # fmt: skip
        (keys / LOG).write_bytes(b"".join(edited))
        with refusal(Code.LOG_BROKEN):
            issue(keys)


def test_a_store_s_key_is_of_the_kind_that_is_asked_for(tmp_path) -> None:
    for service in (False, True):
        with open_key_store(tmp_path / str(service), service=service) as store:
            assert store.key.service is service
        with open_key_store(tmp_path / str(service)):
            pass
        with (
            pytest.raises(KeyFileError, match="name another directory"),
            open_key_store(tmp_path / str(service), service=not service),
        ):
            pass


def test_what_is_more_than_a_beginning_is_not_begun_anew(keys) -> None:
    opened = (keys / LOG).read_bytes()
    issue(keys)
    two = (keys / LOG).read_bytes()
    (keys / HEAD).unlink()
    (keys / PRIVATE).rename(keys / BEGINNING)
    for content, revocations in ((two, 1), (opened, 2), (None, 2), (opened, None)):
        (keys / LOG).unlink(missing_ok=True)
        (keys / REVOCATIONS).unlink(missing_ok=True)
        if content is not None:
            (keys / LOG).write_bytes(content)
        if revocations is not None:
            write_list(keys, revocations)
        before = {path.name: path.read_bytes() for path in keys.iterdir()}
        with refusal(Code.LOG_GONE):
            issue(keys)
        assert {path.name: path.read_bytes() for path in keys.iterdir()} == before


@pytest.mark.parametrize("left", [(LOG,), (HEAD,), (REVOCATIONS,), (LOG, HEAD, REVOCATIONS)], ids=str)
def test_without_its_key_a_log_is_no_beginning(keys, left) -> None:
    for path in keys.iterdir():
        if path.name not in left:
            path.unlink()
    with pytest.raises(KeyFileError, match=f"{PRIVATE}: the key of the log beside it is gone"):
        issue(keys)
    assert not (keys / PRIVATE).exists()


def test_whole_lines_behind_the_head_are_kept_and_half_a_one_is_written_over(keys) -> None:
    issue(keys)
    head = (keys / HEAD).read_bytes()
    issue(keys)
    whole, moved = (keys / LOG).read_bytes(), (keys / HEAD).read_bytes()
    for rest in (b"", b'{"entry":{"audience"'):
        (keys / HEAD).write_bytes(head)
        (keys / LOG).write_bytes(whole + rest)
        with open_key_store(keys) as store:
            assert store.head.seq == 3
        assert (keys / HEAD).read_bytes() == moved
    issue(keys)
    assert (keys / LOG).read_bytes().startswith(whole) and events(keys) == ["opened", *["issued"] * 3]


@pytest.mark.parametrize("change", [lambda log: log[:-1], lambda log: log[:-5] + b"x" + log[-4:], lambda log: b""])
def test_a_log_that_is_not_as_it_was_signed_is_not_gone_on_with(keys, change) -> None:
    issue(keys)
    (keys / LOG).write_bytes(change((keys / LOG).read_bytes()))
    with refusal(Code.LOG_BROKEN):
        issue(keys)
    (keys / LOG).unlink()
    with refusal(Code.LOG_GONE):
        issue(keys)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_what_the_disk_takes_only_in_part_is_taken_back(keys, monkeypatch) -> None:
    before, files, write = (keys / LOG).read_bytes(), open_files(), os.write
    with open_key_store(keys) as store:
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", lambda fd, data: write(fd, data[:5]))
            with pytest.raises(InfraError, match=f"{LOG}: No space left on device"):
                store.append("issued")
        assert (keys / LOG).read_bytes() == before and store.head.seq == 1
        store.append("issued", audience="host", version=1)
    assert events(keys) == ["opened", "issued"] and open_files() == files


def test_a_log_is_written_through_no_link(keys, tmp_path) -> None:
    for path in (keys / HEAD, keys / LOG):
        path.unlink()
    (keys / PRIVATE).rename(keys / BEGINNING)
    (tmp_path / "elsewhere").touch()
    (keys / LOG).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InfraError, match=f"{LOG}: Too many levels of symbolic links"):
        issue(keys)
    assert (tmp_path / "elsewhere").read_bytes() == b""

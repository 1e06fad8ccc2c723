# SPDX-License-Identifier: Apache-2.0
"""The log: what was signed stays written, a crash at any point is got over, and a change anywhere shows."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import shutil
import signal
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from token_cases import REQUEST, issue, payload, refusal, revoke, sha, tell, trust

from policy_lake.errors import InfraError
from policy_lake.model import to_json
from verifier_vm.tokens import signer
from verifier_vm.tokens.audit_log import HEAD, LOG
from verifier_vm.tokens.dsse import canonical_json
from verifier_vm.tokens.errors import Code, TokenError
from verifier_vm.tokens.key_store import open_key_store, write_head
from verifier_vm.tokens.private_key import PRIVATE
from verifier_vm.tokens.revocation import REVOCATIONS
from verifier_vm.tokens.statement import token_digest


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A directory with a history, which tests copy."""
    directory = tmp_path_factory.mktemp("signer") / "keys"
    for number in range(3):
        issue(directory, audience=f"host-{number}")
    revoke(directory, "object", sha("bad"))
    return directory


@pytest.fixture
def keys(made, tmp_path):
    return shutil.copytree(made, tmp_path / "keys", copy_function=shutil.copy2)


def events(directory):
    return [entry.event for entry in trust(directory)["log"].entries]


def test_the_log_tells_of_everything(keys):
    envelope = issue(keys)
    entries = trust(keys)["log"].entries
    assert [entry.event for entry in entries] == ["opened", "issued", "issued", "issued", "revoked", "issued"]
    assert [entry.seq for entry in entries] == [1, 2, 3, 4, 5, 6]
    assert entries[-1].token_sha256 == token_digest(payload(envelope)) and entries[-1].policy == "ljf"
    assert (entries[4].object_sha256, entries[4].reason) == (sha("bad"), "it stalls under load")


def test_a_change_to_any_byte_shows(made, tmp_path_factory):
    directory = shutil.copytree(made, tmp_path_factory.mktemp("flip") / "keys", copy_function=shutil.copy2)
    content = (directory / LOG).read_bytes()

    @given(place=st.integers(0, len(content) - 1), flip=st.integers(1, 255))
    @settings(max_examples=120, deadline=None)
    def flipped(place, flip):
        changed = bytearray(content)
        changed[place] ^= flip
        (directory / LOG).write_bytes(changed)
        with refusal(Code.LOG_BROKEN):
            trust(directory)

    flipped()


@pytest.mark.parametrize("lines", [0, 1, 4])
def test_a_log_that_was_cut_off_is_refused_by_reader_and_writer(keys, lines):
    path = keys / LOG
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:lines]))
    with refusal(Code.LOG_BROKEN):
        trust(keys)
    with refusal(Code.LOG_BROKEN):
        issue(keys)


def test_a_log_and_head_of_before_do_not_pass_beside_a_newer_list(keys, tmp_path):
    shutil.copytree(keys, tmp_path / "before")
    for number in range(2):
        revoke(keys, "nonce", f"{number:032x}")
    for name in (LOG, HEAD):
        shutil.copy2(tmp_path / "before" / name, keys / name)
    with refusal(Code.LOG_BROKEN):
        issue(keys)


@pytest.mark.parametrize(
    ("gone", "code"),
    [(LOG, Code.LOG_GONE), (HEAD, Code.LOG_GONE), (REVOCATIONS, Code.UNREADABLE), (PRIVATE, None)],
)
def test_what_is_gone_is_not_made_anew(keys, gone, code):
    (keys / gone).unlink()
    with pytest.raises((TokenError, InfraError)) as caught:
        issue(keys)
    assert getattr(caught.value, "code", None) == code
    assert not (keys / gone).exists()


def test_another_keys_log_is_refused(keys, tmp_path):
    issue(tmp_path / "other")
    for name in (LOG, HEAD, REVOCATIONS):
        shutil.copy2(tmp_path / "other" / name, keys / name)
    for act in (trust, issue):
        with refusal(Code.OTHER_KEY):
            act(keys)


def test_what_a_crash_leaves_at_the_end_is_got_over(keys):
    """A whole line that the head does not name yet, and half of the next."""
    head = (keys / HEAD).read_bytes()
    issue(keys)
    (keys / HEAD).write_bytes(head)
    whole = (keys / LOG).read_bytes()
    (keys / LOG).write_bytes(whole + b'{"entry":{"audience":"host-1","ev')
    log = trust(keys)["log"]
    assert log.unfinished and len(log.entries) == 6
    issue(keys)
    log = trust(keys)["log"]
    assert not log.unfinished and len(log.entries) == 7 and (keys / LOG).read_bytes().startswith(whole)
    versions = [entry.version for entry in log.entries if entry.audience == "host-1"]
    assert versions == sorted(set(versions)) and len(versions) == 3


def test_a_whole_line_behind_the_head_must_be_signed(keys):
    with open_key_store(keys) as store:
        place = store.next_place
    last = json.loads((keys / LOG).read_bytes().splitlines()[-1])
    forged = {**last, "entry": {**last["entry"], "seq": place.seq, "previous": place.previous}}
    with (keys / LOG).open("ab") as file:
        file.write(canonical_json(forged) + b"\n")
    for act in (trust, issue):
        with refusal(Code.LOG_BROKEN):
            act(keys)


def test_a_head_that_tells_of_other_things_than_the_log_is_refused(keys):
    with open_key_store(keys) as store:
        write_head(keys, replace(store.head, versions={}), store.key)
    with refusal(Code.LOG_BROKEN):
        trust(keys)


def test_a_log_is_opened_once(keys):
    with open_key_store(keys) as store:
        store.append("opened", revocations=store.revocations.version)
    with refusal(Code.LOG_BROKEN):
        trust(keys)


def test_a_list_that_is_not_empty_is_not_begun_anew_without_its_log(keys):
    for name in (LOG, HEAD):
        (keys / name).unlink()
    before = (keys / REVOCATIONS).read_bytes()
    with refusal(Code.LOG_GONE):
        issue(keys)
    assert (keys / REVOCATIONS).read_bytes() == before and not (keys / HEAD).exists()


def test_a_log_whose_head_is_gone_is_not_begun_anew(tmp_path):
    """Not even where the list is as empty as at a beginning: its entries would be cut off."""
    issue(tmp_path / "keys")
    (tmp_path / "keys" / HEAD).unlink()
    before = (tmp_path / "keys" / LOG).read_bytes()
    with refusal(Code.LOG_GONE):
        issue(tmp_path / "keys")
    assert (tmp_path / "keys" / LOG).read_bytes() == before


def test_a_log_without_head_and_list_is_no_beginning(tmp_path):
    with open_key_store(tmp_path / "keys"):
        pass
    for name in (HEAD, REVOCATIONS):
        (tmp_path / "keys" / name).unlink()
    with refusal(Code.LOG_GONE):
        issue(tmp_path / "keys")
    assert not (tmp_path / "keys" / REVOCATIONS).exists()


def test_a_line_behind_the_head_is_written_as_the_signer_writes_it(keys):
    """Its signature covers the entry alone: a member beside it would go unnoticed."""
    head = (keys / HEAD).read_bytes()
    issue(keys)
    (keys / HEAD).write_bytes(head)
    *lines, last = (keys / LOG).read_bytes().splitlines(keepends=True)
    (keys / LOG).write_bytes(b"".join(lines) + canonical_json({**json.loads(last), "more": 1}) + b"\n")
    for act in (trust, issue):
        with refusal(Code.LOG_BROKEN):
            act(keys)


def _killed_at(number, directory, message):
    """The signer, killed at its n-th call that changes the disk (a write half done); True if there was none."""

    def run():
        count = 0
        write = os.write

        def killing(function):
            def called(*args, **named):
                nonlocal count
                count += 1
                if count == number:
                    if function is write:
                        function(args[0], args[1][: len(args[1]) // 2])
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*args, **named)

            return called

        for name in ("write", "fsync", "replace", "link", "ftruncate", "truncate", "unlink", "fchmod", "mkdir"):
            setattr(os, name, killing(getattr(os, name)))
        reply = signer.answer(directory, message)
        os._exit(0 if reply["ok"] else 9)

    child = multiprocessing.get_context("fork").Process(target=run)
    child.start()
    child.join(30)
    assert child.exitcode in (0, -signal.SIGKILL), child.exitcode
    return child.exitcode == 0


@pytest.mark.parametrize("do", ["issue", "revoke", "first"])
def test_a_sigkill_at_any_point_leaves_a_log_to_go_on_from(made, tmp_path, do):
    data = to_json(REQUEST) if do != "revoke" else {"kind": "nonce", "value": "cd" * 16, "reason": "killed"}
    message = json.dumps({"do": "issue" if do == "first" else do, "data": data}).encode()
    for number in range(1, 60):
        directory = tmp_path / str(number) / "keys"
        directory.parent.mkdir()
        if do != "first":
            shutil.copytree(made, directory, copy_function=shutil.copy2)
        ended = _killed_at(number, directory, message)
        revoke(directory, "nonce", "ef" * 16, "afterwards")
        known = trust(directory)
        logged = [entry.nonce for entry in known["log"].entries if entry.event == "revoked" and entry.nonce]
        assert logged == [revocation.value for revocation in known["revocations"].revoked if revocation.kind == "nonce"]
        assert known["revocations"].version == known["log"].head.revocations
        assert not known["log"].unfinished
        assert [path.name for path in directory.iterdir() if path.name.startswith(".")] == []
        if ended:
            break
    assert ended and number > 8, "every one of the signer's steps was tried"


def _issue_some(directory, count):
    for _ in range(count):
        issue(directory)


def test_many_that_write_at_once_make_one_chain(keys):
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_issue_some, args=(keys, 5)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0] * 4
    entries = [entry for entry in trust(keys)["log"].entries if entry.event == "issued"]
    assert len(entries) == 3 + 20 and len({entry.nonce for entry in entries}) == 23
    versions = [entry.version for entry in entries if entry.audience == "host-1"]
    assert versions == sorted(set(versions)) and len(versions) == 21


def test_a_full_disk_leaves_everything_as_it_was(keys):
    """RLIMIT_FSIZE: no file may grow beyond what the log has now, but for a part of a line."""
    before = {path.name: path.read_bytes() for path in keys.iterdir()}
    limit = len(before[LOG]) + 100

    def run():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        reply = signer.answer(keys, json.dumps({"do": "issue", "data": to_json(REQUEST)}).encode())
        os._exit(0 if (reply["ok"], reply.get("exit_status")) == (False, 4) else 9)

    child = multiprocessing.get_context("fork").Process(target=run)
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert {path.name: path.read_bytes() for path in keys.iterdir()} == before
    assert issue(keys) and events(keys)[-1] == "issued"


def test_a_lost_list_is_made_anew_from_the_log(keys):
    revoke(keys, "nonce", "ab" * 16, "lost")
    before = trust(keys)["revocations"]
    (keys / REVOCATIONS).unlink()
    with refusal(Code.UNREADABLE):
        issue(keys)
    tell(keys, "restore", {})
    after = trust(keys)["revocations"]
    assert [(revocation.kind, revocation.value, revocation.reason) for revocation in after.revoked] == [
        (revocation.kind, revocation.value, revocation.reason) for revocation in before.revoked
    ]
    assert after.version == before.version + 1 and events(keys)[-1] == "restored" and issue(keys)

# SPDX-License-Identifier: Apache-2.0
"""The log after a crash, a full disk, and many that write at once: it goes on from what was acknowledged."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import shutil
import signal

import pytest
from token_cases import history, issue, refusal, revoke, tell, trust

from policy_lake.errors import InfraError
from verifier_vm.tokens.audit_log import HEAD, LOG
from verifier_vm.tokens.dsse import canonical_json
from verifier_vm.tokens.errors import Code
from verifier_vm.tokens.key_store import open_key_store
from verifier_vm.tokens.revocation import REVOCATIONS


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A directory with a history, which tests copy."""
    return history(tmp_path_factory.mktemp("signer") / "keys")


@pytest.fixture
def keys(made, tmp_path):
    return shutil.copytree(made, tmp_path / "keys", copy_function=shutil.copy2)


def events(directory):
    return [entry.event for entry in trust(directory)["log"].entries]


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


def _killed_at(number, directory, act):
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
        act(directory)
        os._exit(0)

    child = multiprocessing.get_context("fork").Process(target=run)
    child.start()
    child.join(30)
    assert child.exitcode in (0, -signal.SIGKILL), child.exitcode
    return child.exitcode == 0


@pytest.mark.parametrize("do", ["issue", "revoke", "first"])
def test_a_sigkill_at_any_point_leaves_a_log_to_go_on_from(made, tmp_path, do):
    def act(directory):
        revoke(directory, "nonce", "cd" * 16, "killed") if do == "revoke" else issue(directory)

    for number in range(1, 60):
        directory = tmp_path / str(number) / "keys"
        directory.parent.mkdir()
        if do != "first":
            shutil.copytree(made, directory, copy_function=shutil.copy2)
        ended = _killed_at(number, directory, act)
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
        try:
            issue(keys)
        except InfraError:
            os._exit(0)
        os._exit(9)

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

# SPDX-License-Identifier: Apache-2.0
"""Consuming: a token is used once, and a host that has seen newer things takes no older ones."""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from token_cases import DAY, HERE, check, issue, refusal, revoke, sha, trust

from policy_lake.errors import InfraError, InputError
from verifier_vm.tokens import host_state
from verifier_vm.tokens.audit_log import HEAD, LOG
from verifier_vm.tokens.consume import consume_token
from verifier_vm.tokens.errors import Code, TokenError
from verifier_vm.tokens.host_state import STATE, STATE_LIMIT, create_host_state, read_host_state
from verifier_vm.tokens.revocation import REVOCATIONS
from verifier_vm.tokens.terms import CLOCK_SKEW


@pytest.fixture
def keys(tmp_path):
    return tmp_path / "keys"


@pytest.fixture
def host(tmp_path):
    create_host_state(tmp_path / "host")
    return tmp_path / "host"


def consume(host, keys, envelope, *, now=None, **changes):
    here = {name: changes.pop(name) for name in HERE.__slots__ if name in changes}
    return consume_token(
        host, envelope, replace(HERE, **here), now=now or datetime.now(UTC), **{**trust(keys), **changes}
    )


def test_a_token_is_admitted_once_though_the_host_starts_again(host, keys):
    envelope = issue(keys)
    token = consume(host, keys, envelope)
    for _ in range(2):  # the memory is read anew every time
        with refusal(Code.USED):
            consume(host, keys, envelope)
    assert list(read_host_state(host).nonces) == [token.nonce]


def test_a_check_changes_nothing(host, keys):
    envelope = issue(keys)
    before = {path: path.read_bytes() for root in (host, keys) for path in root.iterdir()}
    for _ in range(2):
        check(keys, envelope, host=read_host_state(host))
    assert {path: path.read_bytes() for root in (host, keys) for path in root.iterdir()} == before


def test_a_refused_token_is_not_used_up(host, keys):
    envelope = issue(keys)
    before = (host / STATE).read_bytes()
    for code, wrong in (
        (Code.OTHER_KERNEL, {"kernel": "6.12"}),
        (Code.OTHER_OBJECT, {"object_sha256": sha("other")}),
        (Code.EXPIRED, {"now": datetime.now(UTC) + 8 * DAY}),
    ):
        with refusal(code):
            consume(host, keys, envelope, **wrong)
    assert (host / STATE).read_bytes() == before and consume(host, keys, envelope)


def test_an_older_version_is_refused_after_a_newer_one(host, keys):
    old, new, other = issue(keys), issue(keys), issue(keys, policy="fifo", score=None)
    consume(host, keys, new)
    with refusal(Code.OLD_VERSION):
        consume(host, keys, old)
    assert consume(host, keys, other) and consume(host, keys, issue(keys))


def test_a_used_token_stays_used_when_its_nonce_is_forgotten_and_the_clock_set_back(host, keys):
    envelope = issue(keys, valid_for_s=3600)
    consume(host, keys, envelope)
    later = datetime.now(UTC) + DAY
    consume(host, keys, issue(keys, policy="fifo", score=None), now=later)
    assert len(read_host_state(host).nonces) == 1
    with refusal(Code.OLD_VERSION):
        consume(host, keys, envelope)


def test_a_nonce_is_kept_until_no_clock_can_take_its_token_for_good(host, keys):
    token = consume(host, keys, issue(keys, valid_for_s=3600))
    assert read_host_state(host).nonces == {token.nonce: token.expires}
    others = [issue(keys, policy=policy, score=None) for policy in ("fifo", "rr")]
    consume(host, keys, others[0], now=token.expires + CLOCK_SKEW - timedelta(seconds=1))
    assert token.nonce in read_host_state(host).nonces
    consume(host, keys, others[1], now=token.expires + CLOCK_SKEW)
    assert token.nonce not in read_host_state(host).nonces


def test_an_older_list_or_log_is_refused_after_a_newer_one(host, keys, tmp_path):
    envelopes = [issue(keys, policy=name, score=None) for name in ("a", "b", "c")]
    shutil.copytree(keys, tmp_path / "before")
    revoke(keys, "object", sha("bad"))
    consume(host, keys, envelopes[0])
    assert read_host_state(host).revocations == 2
    with refusal(Code.OLD_REVOCATIONS):
        consume(host, keys, envelopes[1], revocations=trust(tmp_path / "before")["revocations"])
    with refusal(Code.OTHER_LOG):
        consume(host, keys, envelopes[1], log=trust(tmp_path / "before")["log"])
    for name in (LOG, HEAD, REVOCATIONS):
        shutil.copy2(tmp_path / "before" / name, keys / name)
    with refusal(Code.OLD_REVOCATIONS):  # all three rolled back together
        consume(host, keys, envelopes[1])


def test_a_token_without_its_log_entry_is_refused(host, keys, tmp_path):
    issue(keys)
    shutil.copytree(keys, tmp_path / "before")
    envelope = issue(keys)
    with refusal(Code.NOT_LOGGED):
        consume(host, keys, envelope, log=trust(tmp_path / "before")["log"])
    assert consume(host, keys, envelope, log=None)


def test_a_revoked_token_is_not_admitted(host, keys):
    envelope = issue(keys)
    revoke(keys, "object", HERE.object_sha256, "bad")
    with refusal(Code.REVOKED):
        consume(host, keys, envelope)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"nonces":{}}\n', b"\xff", b"[" * 100_000, b" " * (STATE_LIMIT + 1)])
def test_a_memory_that_cannot_be_read_admits_nothing(host, keys, content):
    envelope = issue(keys)
    (host / STATE).write_bytes(content)
    with refusal(Code.HOST_STATE, Code.UNREADABLE):
        consume(host, keys, envelope)
    assert (host / STATE).read_bytes() == content


def test_a_memory_that_is_gone_or_others_could_have_written_admits_nothing(host, keys):
    envelope = issue(keys)
    (host / STATE).chmod(0o666)
    with refusal(Code.HOST_STATE):
        consume(host, keys, envelope)
    (host / STATE).rename(host / "elsewhere")
    with refusal(Code.HOST_STATE):
        consume(host, keys, envelope)
    (host / STATE).symlink_to(host / "elsewhere")
    with refusal(Code.HOST_STATE, Code.UNREADABLE):
        consume(host, keys, envelope)


def test_a_state_that_would_grow_too_large_consumes_nothing(host, keys, monkeypatch):
    envelope, before = issue(keys), (host / STATE).read_bytes()
    monkeypatch.setattr(host_state, "STATE_LIMIT", len(before) + 20)
    with refusal(Code.HOST_STATE):
        consume(host, keys, envelope)
    assert (host / STATE).read_bytes() == before


def test_a_state_in_a_directory_that_others_may_enter_is_not_believed(host):
    host.chmod(0o777)
    with refusal(Code.HOST_STATE):
        read_host_state(host)


def test_a_memory_is_not_made_twice(host):
    with pytest.raises(InputError, match="is there already"):
        create_host_state(host)


def test_of_many_that_admit_one_token_at_once_one_does(host, keys):
    envelope = issue(keys)

    def run():
        try:
            consume(host, keys, envelope)
        except TokenError:
            os._exit(3)
        os._exit(0)

    children = [multiprocessing.get_context("fork").Process(target=run) for _ in range(6)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert sorted(child.exitcode for child in children) == [0, 3, 3, 3, 3, 3]


def test_on_a_full_disk_nothing_is_admitted_and_nothing_half_written(host, keys):
    envelope = issue(keys)
    before = {path.name: path.read_bytes() for path in host.iterdir()}

    def run():
        resource.setrlimit(resource.RLIMIT_FSIZE, (90, 90))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            consume(host, keys, envelope)
        except InfraError:
            os._exit(4)
        os._exit(0)

    child = multiprocessing.get_context("fork").Process(target=run)
    child.start()
    child.join(60)
    assert child.exitcode == 4
    assert {path.name: path.read_bytes() for path in host.iterdir()} == before | {"lock": b""}
    assert consume(host, keys, envelope)

# SPDX-License-Identifier: Apache-2.0
"""Faults of the host: full disks, an agent that died, files that were changed."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from agent_cases import FakeHost, Running, refused, run
from token_cases import REQUEST

from host_agent import breaker_events as ev
from host_agent import chain
from host_agent.__main__ import as_first_thread
from host_agent.journal import Journal
from policy_lake.errors import InfraError


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


def full(fd: int, content: bytes) -> None:
    raise OSError(28, "No space left on device")


def test_on_a_full_disk_nothing_is_attached(host: FakeHost, monkeypatch: Any) -> None:
    async def test(here: Running) -> None:
        token = host.token()
        with monkeypatch.context() as patch:
            patch.setattr(chain, "write_all", full)
            with refused("not_recorded"):
                await here.attach(token)
        assert not (host.sys / "seen.json").exists()
        await here.attach(token)

    run(host, test)


def test_when_the_disk_fills_up_it_is_taken_off_all_the_same(host: FakeHost, monkeypatch: Any) -> None:
    async def test(here: Running) -> None:
        await here.attach()
        with monkeypatch.context() as patch:
            patch.setattr(chain, "write_all", full)
            await here.ask("lease", lease=60)  # something to write down
            await here.until(lambda: host.state == "disabled" and here.agent.on is None)
            await here.until(lambda: here.agent.counts.reverts["not_recorded"] == 1)
            async with here.agent.lock:  # until it is through with it
                pass
        assert (await here.ask("status"))["records_ok"] is False
        assert await here.agent.record("resume") and here.agent.journal.healthy

    run(host, test)


def test_breakers_that_cannot_be_written_down_keep_all_out_until_they_are(host: FakeHost, monkeypatch: Any) -> None:
    async def test(here: Running) -> None:
        def is_full() -> None:
            raise InfraError("No space left on device")

        await here.attach()
        with monkeypatch.context() as patch:
            patch.setattr(here.agent.breakers, "save", is_full)
            assert here.agent.on is not None
            await here.agent.tell_breaker(here.agent.on.grant.wanted.key, ev.HolderLost())
            with refused("stopped"):
                await here.attach()
            with refused("not_recorded"):
                await here.ask("resume", object=REQUEST.object_sha256, admin=True)
        assert "breakers" in here.agent.forbidden()
        await here.ask("resume", object=REQUEST.object_sha256, admin=True)
        assert here.agent.forbidden() == ""

    run(host, test)


def test_a_thread_of_a_real_time_agent_is_as_real_time(monkeypatch: Any) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(os, "sched_getparam", lambda pid: ("param", pid))
    monkeypatch.setattr(os, "sched_setscheduler", lambda *given: asked.append(given))
    for policy in (os.SCHED_OTHER, os.SCHED_RR | os.SCHED_RESET_ON_FORK):
        monkeypatch.setattr(os, "sched_getscheduler", lambda pid, policy=policy: policy)
        as_first_thread()
    here = threading.get_native_id()
    assert asked == [(here, os.SCHED_RR | os.SCHED_RESET_ON_FORK, ("param", os.getpid()))]


def test_after_the_agent_died_the_next_one_says_what_it_found(host: FakeHost) -> None:
    async def died() -> None:
        here = Running(host)
        await here.agent.start()
        await here.attach()
        assert here.agent.on is not None
        here.agent.on.holder._writer.transport.abort()  # as the kernel closes a dead process's socket

    asyncio.run(died())

    async def test(here: Running) -> None:
        assert (await here.ask("status"))["status"] == "idle" and here.agent.journal.open == ()
        await here.attach()

    run(host, test)
    assert host.told("reconciled")[1]["status"] in ("running", "managed-detached")


def test_a_policy_of_ours_that_nobody_lets_go_of_keeps_all_others_out(host: FakeHost, monkeypatch: Any) -> None:
    monkeypatch.setattr("host_agent.attachment.GONE_S", 0.1)

    async def first(here: Running) -> None:
        await here.attach()
        here.agent.journal = Journal(host.root / "state/journal.jsonl")
        open_ = here.agent.journal.open
        assert open_[0].kind == "attach" and open_[0].done

    async def no_undo(*_args: Any) -> list[str]:
        return []

    with monkeypatch.context() as patch:
        patch.setattr("host_agent.attachment.undo_all", no_undo)
        run(host, first)
    host.scx("enabled", "ljf", seq=5)

    async def test(here: Running) -> None:
        with refused("not_undone"):
            await here.attach()
        assert (await here.ask("status"))["status"] == "running"

    run(host, test, lease_s=0.2)


def test_an_audit_log_or_journal_that_was_changed_keeps_the_agent_from_starting(host: FakeHost) -> None:
    async def nothing(here: Running) -> None:
        await here.attach()

    run(host, nothing)
    for name in ("audit.jsonl", "journal.jsonl"):
        path = host.root / "state" / name
        content = path.read_bytes()
        path.write_bytes(content[: content.rindex(b"\n", 0, -1) + 1].replace(b"ljf", b"fjl"))
        with pytest.raises(chain.ChainError, match=name):
            Running(host)
        path.write_bytes(content)
    Running(host)

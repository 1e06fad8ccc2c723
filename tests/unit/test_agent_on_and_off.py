# SPDX-License-Identifier: Apache-2.0
"""A policy on and off: attached, proven, watched, in windows, for some tasks alone, and a holder that misbehaves."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from agent_cases import FakeHost, Running, attach_words, refused, run
from token_cases import REQUEST, revoke

from host_agent.audit import verify
from host_agent.journal import Journal
from host_agent.sample import Sample


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


def test_a_policy_is_attached_proven_watched_and_taken_off(host: FakeHost) -> None:
    async def test(here: Running) -> None:
        assert (await here.ask("status"))["status"] == "idle"
        facts = await here.attach()
        assert facts["ops"] == "ljf" and facts["enable_seq"] == 5 and facts["attach_s"] == 0.003
        seen = json.loads((host.sys / "seen.json").read_text())
        assert seen["words"] == [*REQUEST.arguments, "ops.timeout_ms=5000"]
        await asyncio.sleep(1.3)  # longer than a lease: it is renewed
        status = await here.ask("status")
        assert (status["status"], status["ops"], host.state) == ("running", "ljf", "enabled")
        assert await here.ask("detach", reason="enough") == {"was_attached": True}
        assert host.state == "disabled" and (await here.ask("status"))["status"] == "idle"
        assert (await here.ask("detach")) == {"was_attached": False}

    run(host, test)
    (detached,) = host.told("detached")
    assert detached["why"] == "asked" and detached["detach_s"] == 0.002 and detached["wrong"] == []
    assert len(host.told("attached")) == 1 and verify(host.root / "state").seq >= 4
    assert Journal(host.root / "state/journal.jsonl").open == ()


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [("crash", "not_attached_load"), ("refuse", "not_attached_load"), ("lie", "not_attached_prove"),
     ("hang", "not_attached_timeout"), ("babble", "not_attached_load")],
)  # fmt: skip
def test_a_holder_that_fails_or_lies_leaves_nothing(host: FakeHost, behaviour: str, code: str) -> None:
    host.behave(behaviour)

    async def test(here: Running) -> None:
        with refused(code):
            await here.attach()
        assert host.state == "disabled" and here.agent.on is None and here.agent.journal.open == ()
        assert (await here.ask("status"))["status"] == "idle"
        host.behave("")
        await here.attach()  # a failed load is no trip

    run(host, test, load_timeout_s=2.0)


def test_one_that_will_not_detach_is_killed(host: FakeHost) -> None:
    host.behave("deaf")

    async def test(here: Running) -> None:
        await here.attach()
        holder = host.holder
        taking = asyncio.create_task(here.ask("detach"))
        await here.until(lambda: not Path(f"/proc/{holder}").exists())
        host.scx("disabled")  # the kernel's part, as the link is gone
        assert (await taking) == {"was_attached": True}

    run(host, test)


def test_shadow_loads_and_attaches_nothing_and_uses_no_token_up(host: FakeHost) -> None:
    async def test(here: Running) -> None:
        token = host.token()
        told = await here.ask("attach", **attach_words(token, mode="shadow"))
        assert told["ops"] == "ljf" and host.state == "disabled" and here.agent.on is None
        await here.attach(token)

    run(host, test)
    assert len(host.told("shadow")) == 1


def test_partial_moves_the_tasks_of_one_cgroup_and_gives_them_back(host: FakeHost, monkeypatch: Any) -> None:
    (host.root / "cgroups/web/inner").mkdir(parents=True)
    (host.root / "cgroups/web/cgroup.threads").write_text("101\n102\n")
    (host.root / "cgroups/web/inner/cgroup.threads").write_text("103\n")
    classes = {101: 0, 102: 1, 103: 0}
    monkeypatch.setattr(os, "sched_getscheduler", lambda task: classes[task])
    monkeypatch.setattr(os, "sched_setscheduler", lambda task, to, _param: classes.update({task: to}))

    async def test(here: Running) -> None:
        for bad in ("../..", "none", ""):
            with refused("bad_request"):
                await here.ask("attach", **attach_words(host.token(), mode="partial", cgroup=bad))
        await here.ask("attach", **attach_words(host.token(), mode="partial", cgroup="/web"))
        assert classes == {101: 7, 102: 1, 103: 7}
        words = json.loads((host.sys / "seen.json").read_text())["words"]
        assert "ops.flag=SCX_OPS_SWITCH_PARTIAL" in words
        await here.ask("detach")
        assert classes == {101: 0, 102: 1, 103: 0}

    run(host, test)


def test_a_window_ends_and_begins_again_under_the_same_token(host: FakeHost) -> None:
    async def test(here: Running) -> None:
        await here.attach()
        await here.ask("pause")
        assert host.state == "disabled" and (await here.ask("status"))["status"] == "managed-detached"
        with refused("attached"):
            await here.attach()
        assert (await here.ask("unpause"))["enable_seq"] == 6 and host.state == "enabled"
        await here.ask("pause")
        revoke(host.keys, "object", REQUEST.object_sha256)
        host.share()
        with refused("revoked"):
            await here.ask("unpause")
        with refused("not_paused"):
            await here.ask("unpause")
        with refused("not_attached"):
            await here.ask("pause")

    run(host, test)


def test_feedback_since_a_number_and_the_hosts_own_description(host: FakeHost) -> None:
    async def test(here: Running) -> None:
        here.sample = Sample(data={"run_delay_s": 0.5})
        await here.until(lambda: len(here.desk.samples) >= 2, 5)
        first, *_ = (await here.ask("feedback"))["samples"]
        assert first["seq"] == 1 and first["ops"] == ""
        assert all(sample["seq"] > 1 for sample in (await here.ask("feedback", since=1))["samples"])
        told = await here.ask("describe")
        assert (
            told["kernel"] == REQUEST.kernel and told["btf_sha256"] == REQUEST.btf_sha256 and told["cpus"]["cpus"] == 2
        )
        entries = (await here.ask("audit", since=0))["entries"]
        assert entries[0]["what"] == "reconciled" and entries[0]["seq"] == 1

    run(host, test)

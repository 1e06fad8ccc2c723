# SPDX-License-Identifier: Apache-2.0
"""The agent on a host that stands in for one: attach, each refusal, each way off, and what it says of itself."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from agent_cases import HOTPLUG, STALLED, FakeHost, Running, attach_words, end, refused, run
from token_cases import REQUEST, resigned, revoke, sha

from host_agent import chain
from host_agent.audit import verify
from host_agent.breaker import Limits
from host_agent.journal import Journal
from host_agent.protocol import RefusedError
from host_agent.sample import Sample
from host_agent.scx_loader import ScxLoader
from policy_lake.errors import InfraError
from policy_lake.topology import Topology


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


def test_a_token_is_good_for_one_attachment(host: FakeHost) -> None:
    async def test(here: Running) -> None:
        token = host.token()
        await here.attach(token)
        with refused("attached"):
            await here.attach(host.token())
        await here.ask("detach")
        with refused("used"):
            await here.attach(token)
        await here.attach()

    run(host, test)
    assert [told["code"] for told in host.told("refused")] == ["attached", "used"]


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "object": ({"object": "b3RoZXI="}, "other_object"),
    "knobs": ({"knobs": ["slice_us=501", "long_comms=transcode"]}, "other_arguments"),
    "no knobs": ({"knobs": []}, "other_arguments"),
    "stage": ({"stage": "fleet"}, "later_stage"),
    "no token": ({"token": "e30="}, "malformed"),
    "nothing": ({"token": ""}, "malformed"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_what_the_token_is_not_for_is_refused_and_the_token_not_used_up(host: FakeHost, case: str) -> None:
    changes, code = OTHERS[case]

    async def test(here: Running) -> None:
        token = host.token()
        with refused(code):
            await here.ask("attach", **{**attach_words(token), **changes})
        assert host.state == "disabled" and not (host.sys / "seen.json").exists()
        await here.attach(token)

    run(host, test)


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"kernel": "6.12"}, "other_kernel"), ({"btf_sha256": sha("x")}, "other_btf"),
     ({"audience": "h"}, "other_audience")],
)  # fmt: skip
def test_a_token_of_another_host_or_kernel_is_refused(host: FakeHost, changes: dict[str, Any], code: str) -> None:
    async def test(here: Running) -> None:
        with refused(code):
            await here.attach(host.token(**{"score": None, **changes}))

    run(host, test)


def test_more_cpus_than_were_tried_are_refused_and_cpus_are_counted_at_attach_time(host: FakeHost) -> None:
    async def test(here: Running) -> None:
        (host.sys / "devices/system/cpu/present").write_text("0-15\n")
        with refused("other_topology"):
            await here.attach()
        (host.sys / "devices/system/cpu/present").write_text("0-7\n")
        await here.attach()

    assert max(topology.cpus for topology in (Topology(8),)) == 8
    run(host, test)


def test_a_host_that_takes_none_that_ends_by_hotplug(host: FakeHost) -> None:
    async def test(here: Running) -> None:
        with refused("ends_by_hotplug"):
            await here.attach()

    run(host, test, hotplug=True)


def test_a_made_up_verdict_signed_by_another_key_and_a_changed_statement_are_refused(
    host: FakeHost, tmp_path: Path
) -> None:
    foreign = FakeHost(tmp_path / "elsewhere") if (tmp_path / "elsewhere").mkdir() is None else host

    async def test(here: Running) -> None:
        with refused("other_key"):
            await here.attach(foreign.token())
        envelope = json.loads(host.token())
        with refused("bad_signature"):
            await here.attach(json.dumps({**envelope, "payload": "e30="}).encode())
        stolen = resigned(
            host.keys, envelope, lambda statement: statement["predicate"]["schedcp"].update(nonce="ab" * 16)
        )
        with refused("not_logged"):
            await here.attach(json.dumps(stolen).encode())

    run(host, test)


def test_a_revoked_object_an_older_list_and_no_list_are_refused(host: FakeHost) -> None:
    async def test(here: Running) -> None:
        token = host.token()
        before = (host.root / "trust/revoked.dsse.json").read_bytes()
        revoke(host.keys, "object", sha("bad"))
        host.share()
        await here.attach(token)
        await here.ask("detach")
        next_ = host.token()
        (host.root / "trust/revoked.dsse.json").write_bytes(before)
        with refused("old_revocations"):
            await here.attach(next_)
        (host.root / "trust/revoked.dsse.json").unlink()
        with refused("unreadable"):
            await here.attach(next_)
        revoke(host.keys, "object", REQUEST.object_sha256)
        host.share()
        with refused("revoked"):
            await here.attach(next_)

    run(host, test)


def test_a_host_that_lost_its_consumed_nonces_attaches_nothing(host: FakeHost) -> None:
    async def first(here: Running) -> None:
        await here.attach()

    run(host, first)
    (host.root / "state/tokens/host_state.json").unlink()

    async def test(here: Running) -> None:
        with refused("host_state"):
            await here.attach()

    run(host, test)


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


TRIPS: dict[str, Sample] = {
    "memory": Sample(memory_percent=90),
    "task_waits": Sample(task_wait_s=6),
    "idle_cpu": Sample(idle_beside_s=3),
    "metric": Sample(metrics={"p99_s": 2.0}),
}


@pytest.mark.parametrize("why", TRIPS)
def test_what_trips_takes_it_off_and_the_breaker_stays_open_over_a_restart(host: FakeHost, why: str) -> None:
    async def test(here: Running) -> None:
        await here.ask("attach", **attach_words(host.token(), p99_base_s=1.0))
        here.sample = Sample(metrics={"p99_s": 1.2})
        await asyncio.sleep(0.3)
        assert here.agent.on is not None
        here.sample = TRIPS[why]
        await here.until(lambda: host.state == "disabled" and here.agent.on is None)
        await here.until(lambda: bool(host.told("tripped")))
        with refused("breaker") as caught:
            await here.attach()
        assert 0 < caught.value.facts["wait_s"] <= 60

    run(host, test)
    assert [told["why"] for told in host.told("detached")] == [why]

    async def again(here: Running) -> None:
        with refused("breaker"):
            await here.attach()
        with refused("not_admin"):
            await here.ask("resume", object=REQUEST.object_sha256)

    run(host, again)


def test_metrics_that_fall_silent_and_a_control_plane_that_does(host: FakeHost) -> None:
    limits = Limits(metrics_silence_s=1.5, quarantine_after=9, first_pause_s=0)

    async def test(here: Running) -> None:
        await here.attach()
        here.silent = True
        await here.until(lambda: here.agent.on is None)
        here.silent = False
        await here.ask("attach", **attach_words(host.token(), lease=1))
        await asyncio.sleep(0.8)
        await here.ask("status")
        await asyncio.sleep(0.5)
        assert here.agent.on is not None
        await here.until(lambda: here.agent.on is None)
        await here.until(lambda: len(host.told("tripped")) == 2)

    run(host, test, breaker=limits)
    assert [told["why"] for told in host.told("detached")] == ["metrics_silent", "control_lost"]


def test_an_ejection_trips_and_its_record_is_kept_and_the_third_is_quarantine(host: FakeHost) -> None:
    async def test(here: Running) -> None:
        for _ in range(3):
            await here.attach()
            host.eject(STALLED)
            await here.until(lambda: here.agent.on is None)
        await here.until(lambda: len(host.told("tripped")) == 3)
        with refused("breaker") as caught:
            await here.attach()
        assert caught.value.facts["wait_s"] is None and "quarantine" in str(caught.value)
        await here.ask("resume", admin=True, object=REQUEST.object_sha256)
        await here.attach()

    run(host, test, breaker=Limits(first_pause_s=0, quarantine_after=3))
    exits = [json.loads(path.read_text()) for path in (host.root / "state/exits").iterdir()]
    assert [kept["exit"]["kind"] for kept in exits] == [1026] * 3 and exits[0]["object_sha256"] == REQUEST.object_sha256


def test_a_hotplug_end_is_no_trip(host: FakeHost) -> None:
    async def test(here: Running) -> None:
        await here.attach()
        host.eject(HOTPLUG)
        await here.until(lambda: here.agent.on is None)
        await here.attach()

    run(host, test)
    assert not host.told("tripped") and host.told("ended")[0]["kind"] == 66


def test_a_holder_that_is_killed_trips(host: FakeHost) -> None:
    async def test(here: Running) -> None:
        await here.attach()
        end(host.holder, signal.SIGKILL)
        host.scx("disabled")
        await here.until(lambda: here.agent.on is None and bool(host.told("tripped")))

    run(host, test)
    assert host.told("detached")[0]["why"] == "holder_lost"


def test_it_steps_aside_when_an_administrator_ends_the_holder_until_root_resumes(host: FakeHost) -> None:
    async def test(here: Running) -> None:
        await here.attach()
        end(host.holder, signal.SIGTERM)
        await here.until(lambda: bool(host.told("stepped_aside")))
        with refused("stopped"):
            await here.attach()
        with refused("stopped"):
            await here.ask("resume")
        await here.ask("resume", admin=True)
        await here.attach()

    run(host, test)
    assert not host.told("tripped")


def test_it_steps_aside_when_another_loader_attached_something(host: FakeHost) -> None:
    async def test(here: Running) -> None:
        await here.attach()
        host.scx("enabled", "lavd", seq=9)
        await here.until(lambda: bool(host.told("stepped_aside")))
        assert here.agent.on is None

    run(host, test)


def test_it_says_so_when_another_loader_attaches_while_nothing_of_ours_is_on(host: FakeHost) -> None:
    async def test(here: Running) -> None:
        host.scx("enabled", "lavd", seq=5)
        await here.until(lambda: bool(host.told("stepped_aside")))
        assert (await here.ask("status"))["status"] == "orphaned-kernel-state"
        with refused("other_scheduler"):
            await here.attach()
        assert host.state == "enabled"

    run(host, test)


@pytest.mark.parametrize("which", ["run/stop", "etc-stop"])
def test_the_kill_switch_takes_off_and_keeps_off_whoever_made_the_file(host: FakeHost, which: str) -> None:
    async def test(here: Running) -> None:
        await here.attach()
        (host.root / which).touch()
        await here.until(lambda: here.agent.on is None and host.state == "disabled", 2)
        with refused("stopped"):
            await here.attach()
        (host.root / which).unlink()
        await here.attach()

    run(host, test)
    assert host.told("detached")[0]["why"] == "stop" and not host.told("tripped")


def test_stop_always_works_and_the_control_plane_takes_back_only_its_own(host: FakeHost) -> None:
    async def test(here: Running) -> None:
        await here.attach()
        assert await here.ask("stop", reason="alarm") == {"was_attached": True}
        assert host.state == "disabled" and (host.root / "run/stop").read_text() == "control plane: alarm\n"
        with refused("stopped"):
            await here.attach()
        await here.ask("resume")
        (host.root / "run/stop").write_text("by hand")
        with refused("stopped"):
            await here.ask("resume")
        await here.ask("resume", admin=True)
        here.agent.config.stop_files[0].parent.rename(host.root / "away")
        (host.root / "run").touch()  # no file can be made there
        await here.ask("stop")
        with refused("stopped"):
            await here.attach()

    run(host, test)


def test_stop_while_it_is_being_attached(host: FakeHost) -> None:
    host.behave("hang")

    async def test(here: Running) -> None:
        attaching = asyncio.create_task(here.attach())
        await here.until((host.sys / "seen.json").exists)
        with refused("busy"):
            await here.attach()
        await here.ask("stop")
        with refused("not_attached_load"):
            await attaching
        assert host.state == "disabled"

    run(host, test)


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


def test_a_newer_list_is_taken_an_older_one_not_and_what_it_revokes_goes(host: FakeHost) -> None:
    def listed() -> dict[str, Any]:
        return dict(json.loads((host.keys / "revoked.dsse.json").read_text()))

    async def test(here: Running) -> None:
        await here.attach()
        old = listed()
        revoke(host.keys, "object", sha("bad"))
        new, head = listed(), json.loads((host.keys / "log.head.json").read_text())
        assert (await here.ask("trust", revocations=new))["revocations"] == 2
        with refused("old_revocations"):
            await here.ask("trust", revocations=old)
        with refused("bad_signature"):
            await here.ask("trust", revocations={**new, "payload": old["payload"]})
        with refused("bad_request"):
            await here.ask("trust", head=head)
        assert here.agent.on is not None
        revoke(host.keys, "object", REQUEST.object_sha256)
        await here.ask("trust", revocations=listed())
        assert here.agent.on is None and host.state == "disabled"

    run(host, test)
    assert host.told("detached")[0]["why"] == "token"


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


class FakeLoader(ScxLoader):
    def __init__(self, host: FakeHost, says: str = "scx_lavd", *, stops: bool = True) -> None:
        super().__init__("")
        self.host, self.says, self.stops, self.restored = host, says, stops, 0

    async def current(self) -> str:
        return self.says

    async def stop(self) -> None:
        if self.stops:
            self.host.scx("disabled")

    async def undo(self, action: Any) -> None:
        self.restored += 1
        self.host.scx("enabled", "lavd_1.0.20", seq=8)


def test_it_asks_scx_loader_to_stop_what_it_runs_and_to_restore_it_after_a_revert(host: FakeHost) -> None:
    host.scx("enabled", "lavd_1.0.20")
    loader = FakeLoader(host)

    async def test(here: Running) -> None:
        await here.attach()
        assert (await here.ask("status"))["ops"] == "ljf"
        await here.ask("detach")
        assert loader.restored == 1 and here.agent.journal.open == ()

    run(host, test, loader=loader)


@pytest.mark.parametrize("says", ["scx_bpfland", ""])
def test_what_scx_loader_does_not_know_of_is_left_alone(host: FakeHost, says: str) -> None:
    host.scx("enabled", "lavd_1.0.20")

    async def test(here: Running) -> None:
        with refused("other_scheduler"):
            await here.attach()
        assert host.state == "enabled"

    run(host, test, loader=FakeLoader(host, says))


def test_many_refusals_are_counted_and_not_all_written_down(host: FakeHost) -> None:
    async def test(here: Running) -> None:
        for _ in range(50):
            with refused("malformed"):
                await here.attach(b"{}")
        assert (await here.ask("status"))["counts"]["verdicts"] == {"malformed": 50}

    run(host, test)
    assert len(host.told("refused")) == 20


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


def test_a_sample_without_a_metric_that_has_a_limit_is_silence() -> None:
    kinds = [type(event).__name__ for event in Sample().events({"p99_s": 1.0})]
    assert "MetricsSeen" not in kinds and "MetricsSeen" in [type(e).__name__ for e in Sample().events({})]
    (metric, *_) = Sample(metrics={"p99_s": math.nan}).events({"p99_s": 1.0})
    assert not metric.value <= metric.limit  # type: ignore[union-attr]
    assert not replace(Sample(), complete=False).complete
    assert issubclass(InfraError, Exception)


@pytest.mark.parametrize("lease", [0, 601, 86_400])
def test_a_canary_is_not_lent_for_good(host: FakeHost, lease: int) -> None:
    async def test(here: Running) -> None:
        with pytest.raises(RefusedError) as told:
            await here.ask("attach", **attach_words(host.token(), lease=lease))
        assert told.value.code == "stage" and host.state == "disabled"
        await here.ask("attach", **attach_words(host.token(), lease=60))
        with pytest.raises(RefusedError) as told:
            await here.ask("lease", lease=lease)
        assert told.value.code == "stage"

    run(host, test)

# SPDX-License-Identifier: Apache-2.0
"""What trips the circuit breaker while a policy is attached, and what does not."""

from __future__ import annotations

import asyncio
import json
import math
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from agent_cases import HOTPLUG, STALLED, FakeHost, Running, attach_words, end, refused, run
from token_cases import REQUEST

from host_agent.breaker import Breaker, Limits
from host_agent.sample import Sample
from policy_lake.errors import InfraError
from verifier_vm.tokens.records import to_plain


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


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


def test_a_p99_is_limited_in_its_metric_s_own_unit_and_anew_with_each_window(host: FakeHost) -> None:
    async def test(here: Running) -> None:
        await here.ask("attach", **attach_words(host.token(), p99_base_s=0.001, p99_metric="request_p99_us"))
        assert here.agent.on is not None and here.agent.on.grant.limits == {"request_p99_us": pytest.approx(1250)}
        here.sample = Sample(metrics={"request_p99_us": 1240.0})
        await asyncio.sleep(0.3)
        await here.ask("pause")
        await here.ask("unpause", p99_base_s=0.002, p99_metric="request_p99_us")
        here.sample = Sample(metrics={"request_p99_us": 2490.0})
        await asyncio.sleep(0.3)
        await here.ask("pause")
        await here.ask("unpause")  # as before
        assert here.agent.on is not None
        here.sample = Sample(metrics={"request_p99_us": 2510.0})
        await here.until(lambda: bool(host.told("detached")))

    run(host, test)
    assert [told["why"] for told in host.told("detached")] == ["metric"]


def test_a_base_of_what_is_no_p99_is_refused_before_the_token_is_used_up(host: FakeHost) -> None:
    async def test(here: Running) -> None:
        token = host.token()
        for name in ("rate", "p99", 7):
            with refused("bad_request"):
                await here.ask("attach", **attach_words(token, p99_base_s=1.0, p99_metric=name))
        await here.ask("attach", **attach_words(token))

    run(host, test)


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


SETTLED = ["slice_us=500", "levels=1,2"]


def test_a_quarantine_is_of_the_object_with_its_knobs_in_whatever_order_and_no_other_s(host: FakeHost) -> None:
    def words(knobs: list[str]) -> dict:
        return attach_words(host.token(arguments=tuple(knobs)), knobs=knobs)

    async def test(here: Running) -> None:
        await here.ask("attach", **words(SETTLED))
        host.eject(STALLED)
        await here.until(lambda: bool(host.told("tripped")))
        for same in (SETTLED, SETTLED[::-1], ["slice_us=0x1F4", "levels=1,0x2"]):
            with refused("breaker"):
                await here.ask("attach", **words(same))
        for other in (["slice_us=501", "levels=1,2"], ["slice_us=500"], []):
            await here.ask("attach", **words(other))
            await here.ask("detach")
        assert list((await here.ask("status"))["breakers"].values()) == ["quarantined"], (
            "what never tripped is not told"
        )

    run(host, test, breaker=Limits(quarantine_after=1))

    async def again(here: Running) -> None:
        with refused("breaker"):
            await here.ask("attach", **words(SETTLED))
        with refused("not_admin"):
            await here.ask("resume", object=REQUEST.object_sha256, knobs=SETTLED)
        await here.ask("resume", object=REQUEST.object_sha256, knobs=["slice_us=501"], admin=True)
        with refused("breaker"):
            await here.ask("attach", **words(SETTLED))
        assert await here.ask("resume", object=REQUEST.object_sha256, knobs=SETTLED[::-1], admin=True) == {
            "released": 1
        }
        await here.ask("attach", **words(SETTLED))

    run(host, again)


def test_what_an_older_agent_kept_by_the_object_alone_holds_for_any_knobs(host: FakeHost) -> None:
    host.config.state.mkdir()
    old = to_plain(Breaker(state="quarantined", trips=3))
    (host.config.state / "breakers.json").write_text(json.dumps({REQUEST.object_sha256: old}))

    async def test(here: Running) -> None:
        with refused("breaker"):
            await here.attach()
        await here.ask("resume", object=REQUEST.object_sha256, admin=True)
        await here.attach()

    run(host, test)


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


def test_a_sample_without_a_metric_that_has_a_limit_is_silence() -> None:
    kinds = [type(event).__name__ for event in Sample().events({"p99_s": 1.0})]
    assert "MetricsSeen" not in kinds and "MetricsSeen" in [type(e).__name__ for e in Sample().events({})]
    (metric, *_) = Sample(metrics={"p99_s": math.nan}).events({"p99_s": 1.0})
    assert not metric.value <= metric.limit  # type: ignore[union-attr]
    assert not replace(Sample(), complete=False).complete
    assert issubclass(InfraError, Exception)

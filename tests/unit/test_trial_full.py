# SPDX-License-Identifier: Apache-2.0
"""The full tier out through a cluster: one guest a part, and one verdict."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from trial_cases import guest_in, spec

from policy_lake.errors import InfraError
from policy_lake.topology import Topology
from tasks.fleet.fan_out import Failure, ItemOutcome
from tasks.host.guest import Shape
from tasks.trial import full
from verifier_vm.judge.suite import parts
from verifier_vm.verdict import stage_of, verdict_of

PARTS = parts("full")
SHAPE = Shape(Topology())


@pytest.fixture
def tier(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Verifies in the full tier with these failures and rejections by index; verdict, what was heard, orders."""

    def verify(failed: Any = (), rejected: Any = (), **options: Any) -> tuple[Any, list[Any], Any]:
        heard: list[Any] = []
        seen: dict[str, Any] = {"ready": 0}

        @contextmanager
        def running(settings: Any, *, host_cpus: int) -> Any:
            seen["host_cpus"] = host_cpus
            yield SimpleNamespace(ready=lambda: seen.update(ready=seen["ready"] + 1))

        def fan_out(function: Any, orders: Any, *, on_result: Any, **more: Any) -> list[Any]:
            seen.update(orders=orders, function=function, **more)
            made = []
            for order in orders:
                bad = order.index in rejected
                stage = replace(stage_of("survive", 0.1), ok=not bad)
                outcome: Any = ItemOutcome(order.index, verdict_of([stage], kernel="7"))
                if order.index in failed:
                    outcome = ItemOutcome(order.index, failure=Failure("infra", "no disk"))
                on_result(outcome)
                made.append(outcome)
            return made

        monkeypatch.setattr(full.cluster, "running", running)
        monkeypatch.setattr(full, "fan_out", fan_out)
        settings = spec(tmp_path).settings
        on_part = {"on_part": lambda name, topology, ok: heard.append((name, ok))} if options.pop("hear", True) else {}
        return full.verify_full_tier(b"object", ("a=1",), settings, SHAPE, **on_part, **options), heard, seen

    return verify


def test_a_full_tier_is_one_guest_a_part_and_one_verdict(tier: Any) -> None:
    verdict, heard, seen = tier()
    assert verdict.accepted and heard == [(part.name, True) for part in PARTS] and seen["ready"] == 1
    assert [order.index for order in seen["orders"]] == list(range(len(PARTS))) and seen["host_cpus"] == 1
    asked = {(order.check_all, order.cgroups, order.hotplug) for order in seen["orders"]}
    assert asked == {(False, False, True)}
    assert seen["deadline_s"] == seen["orders"][0].settings.trial_deadline_s * len(PARTS)
    verdict, heard, seen = tier(rejected=[1], check_all=True, cgroups=True, hotplug=False)
    assert not verdict.accepted and [ok for _, ok in heard].count(False) == 1
    assert {(order.check_all, order.cgroups, order.hotplug) for order in seen["orders"]} == {(True, True, False)}
    assert tier(hear=False)[0].accepted


def test_half_a_tier_is_no_tier(tier: Any) -> None:
    with pytest.raises(InfraError, match=f"full tier, {PARTS[1].name}: no disk"):
        tier(failed=[1])


@pytest.mark.parametrize("index", range(len(PARTS)))
def test_a_part_is_verified_in_a_guest_of_its_own_topology(
    index: int, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def verify(data: bytes, arguments: Any, machine: Any, part: Any, **more: Any) -> Any:
        asked.append((data, arguments, part, more))
        return SimpleNamespace(verdict="verdict")

    monkeypatch.setattr(full, "prepare_guest", lambda settings, shape: asked.append(shape) or guest_in(tmp_path))
    monkeypatch.setattr(full, "verify_part", verify)
    settings = spec(tmp_path).settings.model_copy(update={"cold": True})
    order = full.PartWork(
        index,
        b"o",
        ("a=1",),
        check_all=True,
        cgroups=False,
        hotplug=False,
        settings=settings,
        shape=replace(SHAPE, cold=True),
        topologies=(),
    )
    assert full.do_part(order) == "verdict"
    shape, (data, arguments, part, more) = asked
    assert (shape.topology, shape.clock, shape.cold) == (PARTS[index].topology, settings.clock, True)
    assert (data, arguments, part) == (b"o", ("a=1",), PARTS[index])
    assert more.pop("trusted").func is full.trusted_object
    told = {"check_all": True, "cgroups": False, "hotplug": False}
    assert more == {**told, "deadline_s": settings.trial_deadline_s}


TOPOLOGIES = (Topology(1), Topology(8, llcs=2))

# SPDX-License-Identifier: Apache-2.0
"""The full tier: one guest a topology, out through Ray, and one verdict of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from policy_lake.doing import doing
from policy_lake.errors import InfraError
from policy_lake.model import Verdict
from policy_lake.topology import Topology
from tasks.fleet import cluster
from tasks.fleet.fan_out import ItemOutcome, fan_out
from tasks.host.guest import Shape, prepare_guest, shape_on
from tasks.host.settings import Settings
from tasks.trial.local import LocalSlots
from tasks.trial.trusted import trusted_object
from verifier_vm.judge.aim import aimed_parts
from verifier_vm.judge.gate import OnPart, verify_part
from verifier_vm.judge.stages import merged

GUEST_CPUS = 1  # of the host's: under the virtual clock a guest's CPUs take turns on one


@dataclass(frozen=True, slots=True)
class PartWork:
    """One guest of the full tier, by its index among the `aimed_parts`, and the object to verify there."""

    index: int
    data: bytes
    arguments: tuple[str, ...]
    check_all: bool
    cgroups: bool
    hotplug: bool
    settings: Settings
    shape: Shape
    topologies: tuple[Topology, ...]


def verify_full_tier(
    data: bytes,
    arguments: tuple[str, ...],
    settings: Settings,
    shape: Shape,
    *,
    check_all: bool = False,
    cgroups: bool = False,
    hotplug: bool = True,
    topologies: tuple[Topology, ...] = (),
    here: bool = False,
    on_part: OnPart = lambda name, topology, ok: None,
) -> Verdict:
    """Verify an object in every guest of the full tier at once, as many as this host or the cluster bears.

    Its guests are like `shape` but for their topologies. `on_part` hears of each as it ends. InfraError when one ends
    without a verdict: nothing is known then, and half a tier is no tier. `here`: on threads, not by Ray.
    """
    wanted = aimed_parts(data, "full", arguments, topologies)
    orders = [
        PartWork(i, data, arguments, check_all, cgroups, hotplug, settings, shape, topologies)
        for i in range(len(wanted))
    ]

    left = {part.name for part in wanted}

    def settle(outcome: ItemOutcome[Verdict]) -> None:
        left.discard(wanted[outcome.index].name)
        if outcome.value is not None:
            on_part(wanted[outcome.index].name, wanted[outcome.index].topology or Topology(), outcome.value.accepted)
        doing("full tier: %d of %d guests left: %s", len(left), len(wanted), ", ".join(sorted(left)))

    if here:
        with LocalSlots[PartWork, Verdict](settings.slots(GUEST_CPUS)) as slots:
            for order in orders:
                slots.submit(do_part, order)
            outcomes = []
            for outcome in slots:
                settle(outcome)
                outcomes.append(outcome)
        return _merged(outcomes, [part.name for part in wanted])
    with cluster.running(settings, host_cpus=GUEST_CPUS) as ray_cluster:
        doing("full tier: starting Ray for %d guests", len(wanted))
        ray_cluster.ready()
        doing("full tier: %d guests", len(wanted))
        outcomes = fan_out(
            do_part, orders, deadline_s=settings.trial_deadline_s * len(orders), label="verify", on_result=settle
        )
    return _merged(outcomes, [part.name for part in wanted])


def _merged(outcomes: Sequence[ItemOutcome[Verdict]], names: Sequence[str]) -> Verdict:
    for outcome in outcomes:
        if outcome.failure is not None:
            raise InfraError(f"full tier, {names[outcome.index]}: {outcome.failure.message}")
    in_order = sorted(outcomes, key=lambda outcome: outcome.index)
    return merged([outcome.value for outcome in in_order if outcome.value is not None])


def do_part(order: PartWork) -> Verdict:
    """What a Ray task runs: one guest of the tier."""
    settings = order.settings
    part = aimed_parts(order.data, "full", order.arguments, order.topologies)[order.index]
    guest = prepare_guest(settings, shape_on(order.shape, part.topology or Topology()))
    return verify_part(
        order.data, order.arguments, guest.machine, part, check_all=order.check_all, cgroups=order.cgroups,
        hotplug=order.hotplug, deadline_s=settings.trial_deadline_s, trusted=partial(trusted_object, guest.kernel),
    ).verdict  # fmt: skip

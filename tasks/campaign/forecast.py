# SPDX-License-Identifier: Apache-2.0
"""What a campaign will take, before it starts: how many runs, how many are known, how long, on what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from policy_lake.campaign import CampaignPlan, Place
from policy_lake.doing import doing
from policy_lake.lake import Lake
from tasks.campaign.ground import Ground, ground_of, make, shapes_of
from tasks.campaign.matrix import CampaignSpec
from tasks.campaign.times import Times, kind_of
from tasks.trial.run import run_inputs

ASKED = 500  # keys at a time


def forecast(spec: CampaignSpec, lake: Lake, times: Times, *, slots: int) -> CampaignPlan:
    """Every run's key computed and looked up; nothing is started. InfraError where this host can boot no guest."""
    kinds, rejected = dict[str, str](), dict[str, str]()
    for number, place in enumerate(spec.matrix.in_order(), 1):
        doing("campaign: counting the runs of place %d of %d", number, spec.matrix.places)
        _count(spec, ground_of(spec, place), kinds, rejected)
    known = known_of(list(kinds), lake)
    left = [times.mean_s(kind) for key, kind in kinds.items() if key not in known]
    timed = [seconds for seconds in left if seconds is not None]
    guest_s = sum(timed) if len(timed) == len(left) else None
    matrix, guests = spec.matrix, guests_of(spec)
    sound = len(matrix.policies) - len(rejected)
    return CampaignPlan(
        name=matrix.name, comparisons=matrix.places * (len(matrix.policies) + len(matrix.planners)), runs=len(kinds),
        known=len(known), verifications=len(guests) * sound, planners=matrix.places * len(matrix.planners),
        planner_runs=matrix.places * len(matrix.planners) * matrix.max_runs, slots=slots,
        memory_mib=slots * max(ground.guest.machine.memory_mib for ground in guests),
        seconds=guest_s / slots if guest_s is not None else None, guest_s=guest_s, untimed=len(left) - len(timed),
        left_out=tuple(f"{name}: {why}" for name, why in rejected.items()),
    )  # fmt: skip


def _count(spec: CampaignSpec, ground: Ground, kinds: dict[str, str], rejected: dict[str, str]) -> None:
    for name in spec.matrix.policies:
        made = make(name, ground)
        if made.rejection is not None:
            rejected[name] = made.rejection.reason
            continue
        for key, work in ground.runs(made).items():
            if key not in kinds:
                kinds[key] = kind_of(run_inputs(work, ground.guest))


def guests_of(spec: CampaignSpec) -> list[Ground]:
    """A place of each guest that the matrix has."""
    seed = spec.matrix.seeds[0]
    places = (place for place in spec.matrix.in_order() if place.seed == seed)
    return shapes_of([ground_of(spec, Place(place.workload, place.machine, place.cpus, seed)) for place in places])


def known_of(keys: Sequence[str], lake: Lake) -> set[str]:
    """Those of these runs that the lake holds."""
    return {key for some in _portions(keys) for key in lake.known("measurements", some)}


def _portions(keys: Sequence[str]) -> Iterator[list[str]]:
    rest = iter(keys)
    while some := list(islice(rest, ASKED)):
        yield some

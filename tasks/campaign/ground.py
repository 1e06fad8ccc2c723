# SPDX-License-Identifier: Apache-2.0
"""A place made ready: its guest, the policies as objects, and the runs that each contender is compared by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from benchmarks.workloads import Workload
from policy_lake.campaign import Place
from policy_lake.errors import InfraError
from policy_lake.measurement import Measurement
from policy_lake.model import Candidate, Rejection
from policy_lake.records import Regression
from policy_lake.scores import MeasurementPlan, Score
from tasks.campaign.matrix import CampaignSpec
from tasks.host.guest import Guest, Shape, prepare_guest, shape_for
from tasks.host.settings import Settings
from tasks.host.workloads import find_workload
from tasks.plan import candidate_of
from tasks.score import find_policy
from tasks.trial.build import arguments_of
from tasks.trial.parts import Part
from tasks.trial.run import run_inputs
from tasks.trial.spec import Loadable, RunWork, TrialSpec
from tasks.trial.static import Checked, check_parts
from tasks.trial.trial import baseline_runs, floor_runs, policy_runs, scored
from verifier_vm.machine.kernel import Kernel
from verifier_vm.verdict import rejection_of

Runs = dict[str, RunWork]  # by key
WALL = "a campaign is measured in virtual time alone, which this QEMU has not: `schedcp doctor` says what is missing"


@dataclass(frozen=True, slots=True)
class Made:
    """A policy compiled once for a campaign: what is loaded, or why it may not be."""

    candidate: Candidate
    checked: Checked
    rejection: Rejection | None = None

    @property
    def policy(self) -> Loadable | None:
        """What a loader takes; None where nothing may be loaded."""
        made = self.checked.made
        if made is None or self.rejection is not None:
            return None
        return Loadable(made.data, self.checked.arguments, self.candidate.policy)


@dataclass(frozen=True, slots=True)
class Ground:
    """A place with what all contenders there have in common."""

    place: Place
    workload: Workload
    shape: Shape
    settings: Settings
    guest: Guest
    plan: MeasurementPlan

    def spec(self, made: Made, regressions: tuple[Regression, ...] = ()) -> TrialSpec:
        """The trial of a policy here; a verdict of it that is known suffices."""
        return TrialSpec(
            made.candidate, self.workload, self.shape, self.settings, self.plan, known_suffices=True,
            checked=made.checked, regressions=regressions,
        )  # fmt: skip

    def runs(self, made: Made) -> Runs:
        """The runs of a policy here, EEVDF's among them, by their keys."""
        spec, policy = self.spec(made), made.policy
        own = policy_runs(spec, policy) if policy is not None else []
        works = [*baseline_runs(spec, 0, self.plan.pairs), *floor_runs(spec), *own]
        return {run_inputs(work, self.guest).key: work for work in works}

    def score(self, made: Made, known: dict[str, Measurement]) -> Score | Rejection:
        """The score that these runs come to; a rejection where the policy failed in one of them."""
        policy = made.policy
        if policy is None:
            raise InfraError(f"{made.candidate.policy} has no object")
        steps = scored(self.spec(made), policy)
        asked = next(steps)
        while True:
            try:
                works = [work for work in asked if isinstance(work, RunWork)]
                asked = steps.send([known[run_inputs(work, self.guest).key] for work in works])
            except StopIteration as end:
                stage, score = end.value
                why = rejection_of(stage)
                return score if score is not None else why or Rejection(stage.name, "no score", stage.evidence)


def ground_of(spec: CampaignSpec, place: Place) -> Ground:
    """The place's guest on this host; InfraError where it has no kernel or no virtual clock."""
    settings = spec.settings_of(place)
    workload = find_workload(place.workload, settings)
    shape = shape_for(settings, workload)
    guest = prepare_guest(settings, shape)
    if guest.machine.clock is None:
        raise InfraError(WALL)
    return Ground(place, workload, shape, settings, guest, MeasurementPlan(spec.matrix.pairs, 0, place.seed))


def make(name: str, ground: Ground) -> Made:
    """The policy of that name, compiled for the guests' kernel; what its source or object shows may reject it."""
    return _made(name, ground.guest.kernel)


@lru_cache(maxsize=256)
def _made(name: str, kernel: Kernel) -> Made:
    candidate = candidate_of(find_policy(name), {})
    checked = check_parts(
        (Part(f"{candidate.policy}.bpf.c", candidate.source),), kernel,
        words_of=lambda data: arguments_of(candidate, data, kernel),
    )  # fmt: skip
    why = next((rejected for stage in checked.stages if (rejected := rejection_of(stage))), None)
    return Made(candidate, checked, why)


def shapes_of(grounds: Sequence[Ground]) -> list[Ground]:
    """One place of each guest: a policy is verified once in it."""
    return list({ground.shape: ground for ground in grounds}.values())

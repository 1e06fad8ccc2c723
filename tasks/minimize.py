# SPDX-License-Identifier: Apache-2.0
"""A policy's failure made small: the shortest situation that still shows it, kept for the policies that come after."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from policy_lake.doing import doing
from policy_lake.errors import LostVMError
from policy_lake.model import Rejection, Verdict
from policy_lake.records import Regression
from policy_lake.show import logger
from tasks.host.guest import Guest, Shape, prepare_guest
from tasks.host.lake import open_lake
from tasks.host.settings import Settings
from tasks.trial.static import Checked
from tasks.trial.trusted import trusted_object
from verifier_vm.judge.aim import aimed_parts
from verifier_vm.judge.case import Case, cases_of, minimized, parse_case
from verifier_vm.judge.gate import verify_part
from verifier_vm.judge.stages import merged
from verifier_vm.judge.suite import SuiteTier

IN_A_SITUATION = ("survive", "fair")
MOST_REGRESSIONS = 5  # of one policy, the latest
log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Smallest:
    """A situation that a policy fails in as it did in the suite, and how many guests it took to find it."""

    situation: str
    guests: int


@dataclass(frozen=True, slots=True)
class Alone:
    """Verifies an object in one situation by itself."""

    checked: Checked
    settings: Settings

    def __call__(self, case: Case) -> Verdict:
        assert self.checked.made
        guest = prepare_guest(self.settings, Shape(case.topology, self.settings.clock, self.settings.cold))
        return verify_part(
            self.checked.made.data, self.checked.arguments, guest.machine, case.part, cgroups=self.checked.cgroups,
            hotplug=self.checked.hotplug, seed=case.seed, deadline_s=self.settings.trial_deadline_s,
            trusted=partial(trusted_object, guest.kernel),
        ).verdict  # fmt: skip


def minimize(verdict: Verdict, checked: Checked, guest: Guest, settings: Settings, tier: SuiteTier) -> Smallest | None:
    """The smallest situation in which the object fails as the verdict says; None where none by itself shows it.

    It is kept in the lake under the policy's name.
    """
    failed = verdict.rejection
    if failed is None or failed.stage not in IN_A_SITUATION or checked.made is None:
        return None
    alone = Alone(checked, settings)
    begin = _first(failed, checked, guest, tier, alone)
    if begin is None:
        return None
    case, guests = minimized(begin, lambda less: _fails(less, failed, alone))
    keep(verdict.ops, case, failed, settings)
    return Smallest(str(case), guests)


def keep(ops: str, case: Case, failed: Rejection, settings: Settings) -> None:
    """Have the policies of that name meet the situation from now on."""
    digest = hashlib.sha256(f"{ops}\0{case}".encode()).hexdigest()[:16]
    open_lake(settings).put(Regression(digest, ops, str(case), failed.bug, failed.reason[:400]))


def meet_again(verdict: Verdict, checked: Checked, settings: Settings, on_case: Callable[[str], None]) -> Verdict:
    """The verdict of one that was accepted so far, after the situations that others of its name once failed in."""
    for known in open_lake(settings).regressions(verdict.ops)[-MOST_REGRESSIONS:]:
        on_case(known.situation)
        again = Alone(checked, settings)(parse_case(known.situation, f"lake, regression {known.id}"))
        verdict = merged([verdict, again])
        if not verdict.accepted:
            break
    return verdict


def _first(failed: Rejection, checked: Checked, guest: Guest, tier: SuiteTier, alone: Alone) -> Case | None:
    """The first exercise of the suite that shows the failure by itself; those that the rejection names come first."""
    assert checked.made
    parts = aimed_parts(checked.made.data, tier, checked.arguments)
    cases = [case for part in parts for case in cases_of(part, guest.machine.topology, 0)]
    named = [case for case in cases if failed.place in (case.exercise.name, *case.exercise.workloads.split("+"))]
    for case in named:
        for tried in dict.fromkeys((case, replace(case, uptime_s=0))):
            if _fails(tried, failed, alone):
                return tried
    return None


def _fails(case: Case, failed: Rejection, alone: Alone) -> bool:
    doing("minimize: %s", case)
    try:
        rejection = alone(case).rejection
    except LostVMError as lost:  # of that guest nothing is known
        log.info("minimize: a guest was lost: %s", lost)
        return False
    return rejection is not None and (rejection.stage, rejection.code) == (failed.stage, failed.code)

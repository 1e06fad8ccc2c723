# SPDX-License-Identifier: Apache-2.0
"""A policy's failure made small: the shortest situation that still shows it, kept for the policies that come after."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from policy_lake.doing import doing
from policy_lake.errors import EndedVMError, InfraError, SchedcpError
from policy_lake.model import Rejection, Verdict
from policy_lake.records import Regression
from policy_lake.show import logger
from tasks.host.guest import Shape
from tasks.host.lake import open_lake
from tasks.host.settings import Settings
from tasks.trial.alone import Alone
from tasks.trial.static import Checked
from verifier_vm.judge.aim import aimed_parts
from verifier_vm.judge.case import Case, cases_of
from verifier_vm.judge.smaller import minimized
from verifier_vm.judge.suite import SuiteTier

IN_A_SITUATION = ("survive", "fair")
log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Smallest:
    """A situation that a policy fails in as it did in the suite, and how many guests it took to find it."""

    situation: str
    guests: int


def minimize(verdict: Verdict, checked: Checked, shape: Shape, settings: Settings, tier: SuiteTier) -> Smallest | None:
    """The smallest situation in which the object fails as the verdict says; None where none by itself shows it.

    It is kept in the lake under the policy's name. What fails of ours here is told, and takes nothing of the verdict.
    """
    failed, begin = verdict.rejection, case_that_shows(verdict, checked, shape, settings, tier)
    if failed is None or begin is None:
        return None
    alone = Alone(checked, settings, shape)
    case, guests = minimized(begin, lambda less: _fails(less, failed, alone))
    try:
        keep(verdict.ops, case, failed, settings)
    except SchedcpError as error:
        log.warning("minimize: the situation is not kept for policies of that name: %s", error)
    return Smallest(str(case), guests)


def keep(ops: str, case: Case, failed: Rejection, settings: Settings) -> None:
    """Have the policies of that name meet the situation from now on."""
    digest = hashlib.sha256(f"{ops}\0{case}".encode()).hexdigest()[:16]
    open_lake(settings).put(Regression(digest, ops, str(case), failed.bug, failed.reason[:400]))


def case_that_shows(
    verdict: Verdict, checked: Checked, shape: Shape, settings: Settings, tier: SuiteTier
) -> Case | None:
    """The first exercise, of those that the rejection names, that shows the failure by itself; None if none does."""
    failed, alone = verdict.rejection, Alone(checked, settings, shape)
    if failed is None or failed.stage not in IN_A_SITUATION or checked.made is None:
        return None
    parts = aimed_parts(checked.made.data, tier, checked.arguments)
    cases = [case for part in parts for case in cases_of(part, shape.topology, 0)]
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
    except EndedVMError:
        raise
    except InfraError as error:  # of that guest nothing is known
        log.info("minimize: a guest was lost: %s", error)
        return False
    return rejection is not None and (rejection.stage, rejection.code) == (failed.stage, failed.code)

# SPDX-License-Identifier: Apache-2.0
"""Whether a score's outcome holds when each cost of its machine is halved and doubled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.workloads import Workload
from policy_lake.doing import doing
from policy_lake.errors import InputError
from policy_lake.lake import Lake
from policy_lake.machine_model import TERMS, scaled, telling
from policy_lake.scores import Changed, Score, Sensitivity
from policy_lake.show import logger
from tasks.trial.local import run_here
from tasks.trial.spec import Loadable, TrialSpec
from tasks.trial.trial import scored

FACTORS = (0.5, 2.0)
log = logger(__name__)


def check_sensible(spec_costs: object) -> None:
    """InputError where there is no machine whose costs could be changed."""
    if spec_costs is None:
        raise InputError("--sensitivity: there are no costs to change: give --machine NAME (`schedcp machines`)")


def sensitivity(spec: TrialSpec, policy: Loadable, score: Score, lake: Lake) -> Sensitivity:
    """Measure the policy on the machines that differ in one term, with the seeds of `score`; EEVDF anew on each."""
    costs = spec.shape.costs
    check_sensible(costs)
    assert costs is not None
    plan = replace(spec.plan, pairs=len(score.pairs), most_pairs=0)
    wanted = [(term, factor) for term in telling(costs, FACTORS) for factor in FACTORS]
    skipped = tuple(term for term in TERMS if term not in {term for term, _ in wanted})
    log.warning("sensitivity: %s", cost_text(len(wanted), plan.pairs, spec.workload, skipped))
    changes = []
    for number, (term, factor) in enumerate(wanted, 1):
        doing("sensitivity: %d of %d: %s at %g times its cost", number, len(wanted), term, factor)
        name = f"{spec.shape.machine.partition(',')[0]} with {term} times {factor:g}"
        shape = replace(spec.shape, costs=scaled(costs, term, factor), machine=name)
        changed = replace(spec, shape=shape, plan=plan, control=None, confirms="")
        _, found = run_here(scored(changed, policy), changed, lake, what=f"{spec.candidate.policy} on {name}")
        changes.append(Changed(term, factor, found.ratio if found else None, found.outcome if found else None))
    return Sensitivity(score.outcome, tuple(changes), skipped)


def cost_text(machines: int, pairs: int, workload: Workload, skipped: Sequence[str]) -> str:
    """What it takes, before it starts: machines, runs, and how long those are in the guest; what is left out."""
    runs = 3 * machines * pairs  # EEVDF's twice: what equal runs differ by is another on another machine
    run_s = workload.runs_s.get(workload.tier)
    lasting = f", some {run_s:g} s of the guest's time each" if run_s else ""
    left_out = f"; cost nothing here: {', '.join(skipped)}" if skipped else ""
    return f"{machines} machines, {runs} runs{lasting}{left_out}"

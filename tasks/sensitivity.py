# SPDX-License-Identifier: Apache-2.0
"""Whether a score's outcome holds when each cost of its machine is halved and doubled."""

from __future__ import annotations

from dataclasses import replace

from policy_lake.doing import doing
from policy_lake.errors import InputError
from policy_lake.lake import Lake
from policy_lake.machine_model import active, scaled
from policy_lake.scores import Changed, Score, Sensitivity
from tasks.trial.local import run_here
from tasks.trial.spec import Loadable, TrialSpec
from tasks.trial.trial import scored

FACTORS = (0.5, 2.0)


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
    changes = []
    for term in active(costs):
        for factor in FACTORS:
            doing("sensitivity: %s at %g times its cost", term, factor)
            name = f"{spec.shape.machine.partition(',')[0]} with {term} times {factor:g}"
            shape = replace(spec.shape, costs=scaled(costs, term, factor), machine=name)
            changed = replace(spec, shape=shape, plan=plan, control=None, confirms="")
            _, found = run_here(scored(changed, policy), changed, lake, what=f"{spec.candidate.policy} on {name}")
            changes.append(Changed(term, factor, found.ratio if found else None, found.outcome if found else None))
    return Sensitivity(score.outcome, tuple(changes))

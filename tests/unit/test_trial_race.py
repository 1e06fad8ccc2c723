# SPDX-License-Identifier: Apache-2.0
"""Two candidates side by side in a race: who gets its pairs, and what the score says of who does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_trial import Noisy, guest
from trial_cases import POLICY, Slots, spec, use_vm

from policy_lake.scores import MeasurementPlan
from tasks.trial.drive import MemoryStore, drive
from tasks.trial.race import Race, Repeat
from tasks.trial.spec import Prepared, VerifyWork
from tasks.trial.trial import trial
from tasks.trial.work import Done
from verifier_vm.verdict import stage_of, verdict_of

__all__ = ["guest"]  # a fixture, which pytest finds by its name


@pytest.fixture
def raced(guest, tmp_path, monkeypatch):
    """Two candidates side by side, the second with a factor of its own; their scores, and how many runs each had."""

    def attempt(first, second, race=None, **plan):
        factors = {POLICY.name: first, "other": second}
        plan = MeasurementPlan(**{"pairs": 5, "most_pairs": 0, "seed": 1, "screen": 2} | plan)
        counts = dict.fromkeys(factors, 0)
        given = spec(tmp_path, plan=plan)
        specs = [replace(given, candidate=replace(given.candidate, id=name)) for name in factors]

        def do(function, work):
            if isinstance(work, VerifyWork):
                policy = replace(POLICY, name=work.spec.candidate.id, arguments=(work.spec.candidate.id,))
                return Done(Prepared(verdict_of([stage_of("fair", 0.1)]), policy, None, "btf", ""), (0.0, 1.0))
            if work.policy is not None:
                counts[work.policy.name] += 1
            use_vm(monkeypatch, Noisy(factors[work.policy.name] if work.policy else [1.0]))
            return function(work)

        done = {
            outcome.index: outcome.value for outcome in drive(map(trial, specs), Slots(do), MemoryStore(), race=race)
        }
        return [done[index].score for index in (0, 1)], list(counts.values())

    return attempt


def test_who_is_surely_behind_gets_no_more_pairs_and_its_score_says_so(raced):
    ahead, behind = [1.3, 1.31, 1.3, 1.31, 1.3], [1.05, 1.06, 1.05, 1.06, 1.05]
    (best, other), counts = raced(ahead, behind, Race())
    assert counts == [5, 2] and (len(best.pairs), len(other.pairs)) == (5, 2)
    assert (best.outcome, best.doubt, other.outcome, other.doubt) == ("win", "", "inconclusive", "behind")
    assert raced(ahead, behind)[1] == [5, 5], "without a race"
    assert raced(ahead, ahead, Race())[1] == [5, 5], "nobody is behind"
    assert raced(ahead, behind, Race(), screen=0)[1] == [5, 5], "nobody asks"
    assert raced(behind, behind, Race(1.3))[1] == [5, 2], "one goes on all the same"
    assert raced(ahead, behind, Repeat(2))[1] == [2, 2]

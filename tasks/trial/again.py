# SPDX-License-Identifier: Apache-2.0
"""A score measured again by its id: the same policy, workload, guest and seeds, and whether it comes to the same."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from policy_lake.lake import Lake
from policy_lake.model import Candidate, InputError, Score
from tasks.host.guest import Shape
from tasks.host.settings import Settings
from tasks.host.workloads import find_workload
from tasks.trial.execute import Order, Trial, try_candidate
from verifier_vm.machine.topology import Topology

AGREES_WITHIN = 0.005  # what a ratio may differ by in virtual time, where it should not differ at all
# What makes a difference if it is not what it was, and what to call it.
PARTS = ("image", "qemu", "clock", "object_sha256", "workload_sha256", "binary_sha256")


@dataclass(frozen=True, slots=True)
class Again:
    """The score as it was, the trial that repeated it, and what is no longer what it was then."""

    before: Score
    trial: Trial
    changed: tuple[str, ...]

    @property
    def difference(self) -> float:
        """By how much the ratio differs, as a share of what it was; infinite if the policy is rejected now."""
        now = self.trial.score
        return abs(now.ratio.median / self.before.ratio.median - 1) if now else float("inf")

    @property
    def agrees(self) -> bool:
        """Within half a percent in virtual time; by the wall clock, if the intervals meet."""
        now = self.trial.score
        if now is None:
            return False
        if self.before.clock == "virtual":
            return self.difference <= AGREES_WITHIN
        (low, high), (was_low, was_high) = now.ratio.ci95, self.before.ratio.ci95
        return low <= was_high and was_low <= high


def score_again(score_id: str, settings: Settings, lake: Lake) -> Again:
    """Measure the score of this id (or of an id that begins so) once more.

    InputError if the lake has no such score, several, or not the policy it was of.
    """
    before = find_score(score_id, lake)
    binary = before.versions.get("binary")
    as_then = {"tier": before.tier, "work": before.versions.get("work", "")}
    sized = settings.model_copy(update={**as_then, "schbench": Path(binary) if binary else None})
    pairs, most_pairs = (int(number) for number in before.versions.get("rounds", f"{len(before.pairs)} 0").split())
    wanted = find_workload(before.versions.get("workload_file") or before.workload, sized)
    order = Order(
        candidate=_candidate(before.candidate, lake),
        workload=wanted,
        pairs=pairs,
        seed=before.seed,
        shape=shape_of_score(before).bearing(wanted),
        most_pairs=most_pairs,
        control=_candidate(before.versions["control"], lake) if before.control else None,
        floor=before.floor,
        known_suffices=before.versions.get("guest") == "own",
        settings=settings,
    )
    trial = try_candidate(order)
    now = trial.score
    changed = [part for part in PARTS if now and now.versions.get(part) != before.versions.get(part)]
    if now and now.kernel != before.kernel:
        changed.append("kernel")
    return Again(before, trial, tuple(changed))


def find_score(score_id: str, lake: Lake) -> Score:
    """The one score whose id begins so; InputError for none or several."""
    found = {score.id: score for score in lake.scores() if score_id and score.id.startswith(score_id)}
    if len(found) != 1:
        known = f"{len(found)} scores begin so" if found else "the lake has none; `schedcp lake search` finds policies"
        raise InputError(f"score '{score_id}': {known}")
    return next(iter(found.values()))


def shape_of_score(score: Score) -> Shape:
    """The guest that a score was taken in."""
    if "shape" not in score.versions:
        raise InputError(f"score '{score.id}' does not say in which guest it was taken: it is older than --again")
    cpus, llcs, smt, nodes = (int(number) for number in score.versions["shape"].split())
    return Shape(Topology(cpus, llcs, smt, nodes), score.clock)


def _candidate(candidate_id: str, lake: Lake) -> Candidate:
    for candidate in lake.candidates():
        if candidate.id == candidate_id:
            return replace(candidate, run_id="")
    raise InputError(f"candidate '{candidate_id}' is not in the lake: the score cannot be taken again")

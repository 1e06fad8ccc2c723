# SPDX-License-Identifier: Apache-2.0
"""A score measured again by its id: in virtual time every run must have the same digits, else intervals must meet."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

from benchmarks.scaled_machine import at
from policy_lake.errors import InfraError, InputError
from policy_lake.lake import Lake
from policy_lake.model import Candidate
from policy_lake.scores import Provenance, Score
from policy_lake.topology import Topology
from tasks.host.guest import Shape, prepare_guest
from tasks.host.machine import find_machine
from tasks.host.settings import Settings
from tasks.host.workloads import find_workload
from tasks.trial.kept import kept_object
from tasks.trial.local import run_here
from tasks.trial.parts import Part
from tasks.trial.race import Repeat
from tasks.trial.spec import Trial, TrialSpec
from tasks.trial.static import Checked, check_parts
from tasks.trial.trial import trial

# What of a score's provenance was asked for and is so again; the rest is what may have changed meanwhile.
_ASKED = frozenset({"plan", "numbers", "binary", "control", "cpus", "llcs", "smt", "nodes", "workload_file",
                    "machine", "costs", "taken_as", "machine_from", "files"})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Again:
    """The score as it was, the trial that repeated it, and what of its provenance is no longer what it was then."""

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
        """In virtual time, whether every pair has the same digits; by the wall clock, whether the intervals meet."""
        now = self.trial.score
        if now is None:
            return False
        if self.before.clock == "virtual":
            return now.pairs == self.before.pairs
        (low, high), (was_low, was_high) = now.ratio.ci95, self.before.ratio.ci95
        return low <= was_high and was_low <= high


def score_again(score_id: str, settings: Settings, lake: Lake) -> Again:
    """Measure the score of this id (or of an id that begins so) once more, with nothing taken from the lake.

    InputError if the lake has no such score, several, or not the policy it was of.
    """
    before = find_score(score_id, lake)
    of = provenance_of_score(before)
    as_then = {
        "tier": before.tier, "work": " ".join(f"{name}={number}" for name, number in of.numbers.items()),
        "schbench": Path(of.binary) if of.binary else None, "machine": of.machine_from,
    }  # fmt: skip
    workload = find_workload(of.workload_file or before.workload, settings.model_copy(update=as_then))
    topology = Topology(of.cpus, of.llcs, of.smt, of.nodes)
    shape = Shape(topology, before.clock, settings.cold, machine=of.machine, costs=of.costs, said=of.taken_as).bearing(
        workload
    )
    spec = TrialSpec(
        candidate=_candidate(before.candidate, lake),
        workload=workload,
        shape=shape,
        settings=settings,
        plan=of.plan,
        control=_candidate(of.control, lake) if of.control else None,
        floor=before.floor if before.clock == "wall" else None,
        known_suffices=True,
        checked=_checked(of, before, shape, settings) if of.files else None,
        files=of.files,
    )
    what, race = f"score {before.id} again", Repeat(len(before.pairs))
    again = run_here(trial(spec), spec, lake, recompute=True, what=what, race=race)
    moved = ("machine",) if _another_machine(of, settings) else ()
    return Again(before, again, (*_changed(of, again.score), *moved))


def find_score(score_id: str, lake: Lake) -> Score:
    """The one score whose id begins so; InputError for none or several."""
    matches = {score.id: score for score in lake.scores() if score_id and score.id.startswith(score_id)}
    if len(matches) != 1:
        known = "the lake has none; `schedcp lake search` finds policies"
        if matches:
            known = f"{len(matches)} scores begin so"
        raise InputError(f"score '{score_id}': {known}")
    return next(iter(matches.values()))


def provenance_of_score(score: Score) -> Provenance:
    """What a score is a function of; InputError for one that does not say."""
    if score.provenance is None:
        raise InputError(f"score '{score.id}' does not say how it was taken: it is of an older schedcp")
    return score.provenance


def _checked(of: Provenance, before: Score, shape: Shape, settings: Settings) -> Checked:
    """What is known without a guest of the object that was measured, with the loader's words that it had."""
    try:
        data = kept_object(of.object_sha256, settings)
    except InputError as error:
        raise InputError(f"score '{before.id}' was of {', '.join(of.files)}, whose object was kept: {error}") from error
    part = Part(f"{before.policy}.bpf.o", data=data)
    return check_parts((part,), prepare_guest(settings, shape).kernel, words_of=lambda _: of.arguments)


def _changed(before: Provenance, now: Score | None) -> tuple[str, ...]:
    if now is None or now.provenance is None:
        return ()
    names = [field.name for field in fields(Provenance) if field.name not in _ASKED]
    return tuple(name for name in names if getattr(before, name) != getattr(now.provenance, name))


def _another_machine(of: Provenance, settings: Settings) -> bool:
    """Whether what was asked for costs something else by now, or is no machine any more; measured is with what was."""
    if not of.machine_from or of.costs is None:
        return False
    try:
        now = at(find_machine(of.machine_from, settings), of.cpus).model
    except (InputError, InfraError):
        return True
    return (now.costs, now.topology) != (of.costs, Topology(of.cpus, of.llcs, of.smt, of.nodes))


def _candidate(candidate_id: str, lake: Lake) -> Candidate:
    for candidate in lake.candidates():
        if candidate.id == candidate_id:
            return replace(candidate, run_id="")
    raise InputError(f"candidate '{candidate_id}' is not in the lake: the score cannot be taken again")

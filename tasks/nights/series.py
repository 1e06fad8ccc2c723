# SPDX-License-Identifier: Apache-2.0
"""The nights of each workload in the order in which they were, each beside the one before it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from policy_lake.errors import InputError
from policy_lake.lake import Lake
from policy_lake.night import Night, NightChange, NightKind
from policy_lake.records import Run
from policy_lake.scores import Score
from policy_lake.tuned import RunError, TuneResult

PREFIX = "night-"
# Regressions first, then what was lost, then the rest.
ORDER: tuple[NightKind, ...] = ("regression", "failure", "win", "changed", "first", "same")
SHORT = 12  # hex digits of a digest for people


def is_night(run: Run) -> bool:
    """Whether a schedule began it: a run that is typed has an id that begins with its workload's."""
    return run.id.startswith(f"{PREFIX}{run.workload}-")


def nights_of(lake: Lake, workload: str | None = None) -> list[Night]:
    """Every night that has ended, oldest first."""
    runs = sorted((run for run in lake.runs(workload) if is_night(run)), key=lambda run: run.started)
    scores = {score.id: score for score in lake.scores(workload)} if runs else {}
    return [night_of(run, scores) for run in runs if run.status != "running"]


def night_of(run: Run, scores: dict[str, Score]) -> Night:
    """A run's row with its best score."""
    if not isinstance(run.summary, TuneResult):
        failed = run.summary.error if isinstance(run.summary, RunError) else run.status
        return Night(run.id, run.workload, run.started, failed=failed)
    best = run.summary.best
    tried = [one for iteration in run.summary.iterations for one in iteration.candidates]
    ids = [one.score for one in tried if best is not None and one.id == best.candidate and one.score]
    score = scores.get(ids[-1]) if ids else None
    if best is None or score is None:
        return Night(run.id, run.workload, run.started, failed="" if best is None else "its score is not in this lake")
    return Night(
        run.id,
        run.workload,
        run.started,
        best.policy,
        score.id,
        best.ratio,
        best.outcome,
        inputs_of(score, run.version),
    )


def inputs_of(score: Score, version: str) -> dict[str, str]:
    """What a score's digits are a function of, in short."""
    of = score.provenance
    inputs = {"version": version or "not recorded", "kernel": score.kernel, "topology": score.topology}
    if of is None:
        return inputs
    knobs = " ".join(f"{name}={value}" for name, value in sorted(score.knob_values.items()))
    return inputs | {
        "kernel": f"{score.kernel} ({of.kernel_sha256[:SHORT]})",
        "image": of.image_sha256[:SHORT],
        "qemu": of.qemu,
        "clock": of.clock or "wall",
        "accelerator": score.accel,
        "workload": f"{score.workload}, {score.tier} ({of.workload_sha256[:SHORT]})",
        "policy": f"{score.policy} ({of.object_sha256[:SHORT]}) {knobs}".rstrip(),
        "plan": f"{of.plan.pairs} pairs from seed {of.plan.seed}",
    }


def compared(nights: Sequence[Night]) -> list[NightChange]:
    """Each night of one workload beside the last that came to something; oldest first."""
    changes, before = list[NightChange](), None
    for night in nights:
        changes.append(change_of(night, before))
        before = night if night.ratio is not None else before
    return changes


def change_of(night: Night, before: Night | None) -> NightChange:
    """What kind of news a night is.

    A regression is a win that is gone, or a ratio whose whole interval lies below the one before; a win is one that is
    new, by another policy, or whose whole interval lies above. Digits of two clocks or accelerators are not compared.
    """
    if night.failed:
        return NightChange(night, before, "failure")
    if before is None or night.ratio is None or before.ratio is None:
        lost = before is not None and before.outcome == "win"
        kind: NightKind = "regression" if lost else "win" if night.outcome == "win" else "first"
        return NightChange(night, before, kind)
    changed = {
        name: (before.inputs.get(name, ""), night.inputs.get(name, ""))
        for name in dict.fromkeys((*before.inputs, *night.inputs))
        if before.inputs.get(name) != night.inputs.get(name)
    }
    if changed.keys() & {"clock", "accelerator"} and "wall" in (before.inputs.get("clock"), night.inputs.get("clock")):
        return NightChange(night, before, "first", changed)
    gone = before.outcome == "win" and night.outcome != "win"
    worse = gone or night.ratio.ci95[1] < before.ratio.ci95[0]
    better = night.outcome == "win" and (
        before.outcome != "win" or night.policy != before.policy or night.ratio.ci95[0] > before.ratio.ci95[1]
    )
    same: NightKind = "changed" if changed or night.ratio != before.ratio else "same"
    return NightChange(night, before, "regression" if worse else "win" if better else same, changed)


def latest(lake: Lake, workload: str | None = None) -> list[NightChange]:
    """The last night of each workload, regressions first. InputError for a workload that no night was of."""
    by_workload: dict[str, list[Night]] = {}
    for night in nights_of(lake, workload):
        by_workload.setdefault(night.workload, []).append(night)
    if workload is not None and not by_workload:
        raise InputError(f"no night of '{workload}' is in the lake: `schedcp nights` lists those that are")
    last = [compared(nights)[-1] for nights in by_workload.values()]
    return in_order(last)


def history(lake: Lake, workload: str) -> list[NightChange]:
    """All nights of a workload, latest first; InputError where there is none."""
    latest(lake, workload)
    return compared(nights_of(lake, workload))[::-1]


def in_order(changes: Iterable[NightChange]) -> list[NightChange]:
    """What somebody should look at first."""
    return sorted(changes, key=lambda one: (ORDER.index(one.kind), one.night.workload))

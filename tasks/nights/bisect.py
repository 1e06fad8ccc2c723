# SPDX-License-Identifier: Apache-2.0
"""Which recorded input changed a digit: equal inputs give equal digits, so a change between two nights has a cause.

Every run that the lake holds is evidence; nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from policy_lake.errors import InputError
from policy_lake.exchange import UNNAMED, ConflictError
from policy_lake.lake import Lake
from policy_lake.measurement import Measurement
from policy_lake.night import Cause, Night
from policy_lake.scores import Score
from tasks.nights.series import nights_of

OF_OTHERS = "snapshot"  # a digest of kernel, image, QEMU, topology, workload and policy: it changes with any of them
Change = dict[str, tuple[str, str]]
Pair = tuple[Measurement, Measurement]


def bisect(lake: Lake, workload: str) -> Cause | None:
    """The latest change of a digit between two nights behind each other, and its cause; None where none changed.

    InputError where there are no two nights to compare, or they were measured by the wall clock. ConflictError where
    digits differ and no input does.
    """
    nights = [night for night in nights_of(lake, workload) if night.score]
    if len(nights) < 2:
        raise InputError(f"'{workload}' has {len(nights)} nights with a score in the lake: two are compared")
    scores = {score.id: score for score in lake.scores(workload)}
    everything: list[Measurement] | None = None
    for before, now in zip(nights[-2::-1], nights[:0:-1], strict=True):
        pairs = list(_paired(lake, scores[before.score], scores[now.score]))
        differing = [pair for pair in pairs if pair[0].metrics != pair[1].metrics]
        if not differing:
            continue
        # EEVDF's runs first: what changes them is no policy.
        pair = min(differing, key=lambda one: (bool(one[0].policy), one[0].inputs.work_seed))
        if everything is None:
            everything = [one for one in lake.all("measurements") if one.workload == workload]
        return _cause(workload, (before, now), pair, everything)
    return None


def _paired(lake: Lake, before: Score, now: Score) -> Iterator[Pair]:
    """Runs of the same work of two scores; those of a policy only where it is the same by name."""
    if not before.measurements or not now.measurements:
        raise InputError("a night was measured by the wall clock: equal runs differ, and a change has no one cause")
    first, second = ({_role(one): one for one in _runs(lake, score)} for score in (before, now))
    yield from ((first[role], second[role]) for role in first if role in second)


def _runs(lake: Lake, score: Score) -> list[Measurement]:
    return list(lake.measurements(score.measurements).values())


def _role(one: Measurement) -> tuple[str, int, int]:
    return one.policy, one.inputs.work_seed, one.inputs.guest_seed


def _cause(workload: str, nights: tuple[Night, Night], pair: Pair, everything: Sequence[Measurement]) -> Cause:
    before, now = pair
    changed = differences(before, now)
    if not changed:
        hosts = f"{before.host or UNNAMED} and {now.host or UNNAMED}"
        raise ConflictError(f"run {now.id} of {workload} has other digits with the same inputs, on {hosts}")
    metric = next(name for name in now.metrics if now.metrics[name] != before.metrics.get(name))
    proven = changed if len(changed) == 1 else witnessed(changed, before, everything)
    return Cause(
        workload, (nights[0].run, nights[1].run), now.policy, metric, before.metrics.get(metric, 0.0),
        now.metrics[metric], proven, {name: both for name, both in changed.items() if name not in proven},
    )  # fmt: skip


def differences(before: Measurement, now: Measurement) -> Change:
    """The inputs in which two runs differ, as text; the snapshot's name only where nothing else tells it."""
    first, second = asdict(before.inputs), asdict(now.inputs)
    changed = {name: (str(first[name]), str(second[name])) for name in first if first[name] != second[name]}
    return changed if list(changed) == [OF_OTHERS] else {k: v for k, v in changed.items() if k != OF_OTHERS}


def witnessed(changed: Change, like: Measurement, everything: Sequence[Measurement]) -> Change:
    """Of inputs that changed together those that some two runs show to change digits by themselves, from and to the
    same values.
    """
    runs = [one for one in everything if _role(one) == _role(like)]
    found: Change = {}
    for name, both in changed.items():
        from_, to = ([one for one in runs if str(getattr(one.inputs, name)) == value] for value in both)
        alone = ((a, b) for a in from_ for b in to if set(differences(a, b)) == {name})
        if any(a.metrics != b.metrics for a, b in alone):
            found[name] = both
    return found

# SPDX-License-Identifier: Apache-2.0
"""A rollout's plan, read from the TOML file in which a team keeps it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.toml_file import STRICT, read_toml, validated
from policy_lake.errors import InputError
from policy_lake.limits import LONGEST_LINE, WORDS, Limit
from policy_lake.rollout import RolloutPlan
from policy_lake.show import for_terminal, shortened

_NAME = re.compile(r"[A-Za-z_][\w.-]{0,63}", re.ASCII)
WINDOW_S = Limit("window_s", 0.5, 3600, unit="s", integer=False)
SETTLE_S = Limit("settle_s", 0, 600, unit="s", integer=False)
WORST = Limit("worst", 1.0, 100.0, integer=False)
LEAST = Limit("least", 0, 10**12, integer=False)
ALPHA = Limit("alpha", 0.0001, 0.2, integer=False)
SHARE = Limit("share", 0.01, 1.0, integer=False)
# Below six the interval of one metric at 5 % is too wide for anything; 500 windows of an hour are three weeks.
BLOCKS = Limit("blocks", 6, 500)
_ORDER = ("one", "some", "all")


def read_plan(path: Path) -> RolloutPlan:
    """The plan that the file describes; InputError names the file and the field that is wrong."""
    plan = validated(path, read_toml(path), RolloutPlan, config=STRICT)
    for field, wrong in _faults(plan):
        raise InputError(f"{path}: field '{for_terminal(field)}': {for_terminal(wrong)}")
    return plan


def _faults(plan: RolloutPlan) -> Iterator[tuple[str, str]]:
    if not _NAME.fullmatch(plan.id):
        yield "id", f"'{shortened(plan.id, 60)}' is not a name of letters, digits, '.', '_' and '-'"
    yield from _counted("steps", [step.name for step in plan.steps])
    yield from _counted("metrics", [metric.name for metric in plan.metrics])
    numbers = [("window_s", WINDOW_S, plan.window_s), ("settle_s", SETTLE_S, plan.settle_s)]
    numbers += [("alpha", ALPHA, plan.alpha), ("share", SHARE, plan.share)]
    for index, metric in enumerate(plan.metrics):
        numbers += [(f"metrics.{index}.worst", WORST, metric.worst), (f"metrics.{index}.least", LEAST, metric.least)]
    numbers += [(f"steps.{index}.blocks", BLOCKS, step.blocks) for index, step in enumerate(plan.steps)]
    for field, limit, number in numbers:
        if not limit.low <= number <= limit.high:
            yield field, f"must be from {limit.span}{f' {limit.unit}' if limit.unit else ''}, not {number:g}"
    if 2 * plan.settle_s > plan.window_s:
        yield "settle_s", "more than half of a window would not be measured"
    yield from _step_faults(plan)


def _counted(field: str, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    if not 1 <= len(names) <= WORDS:
        yield field, f"has {len(names)} entries, and must have from 1 to {WORDS}"
    for index, name in enumerate(names):
        if not _NAME.fullmatch(name):
            yield f"{field}.{index}.name", f"'{shortened(name, 60)}' is not a name"
        if name in names[:index]:
            yield f"{field}.{index}.name", f"'{name}' is there twice"


def _step_faults(plan: RolloutPlan) -> Iterator[tuple[str, str]]:
    if plan.steps[0].hosts != "one":
        yield "steps.0.hosts", "the first step is on one host"
    widest = 0
    for index, step in enumerate(plan.steps):
        if bool(step.cgroups) != (step.kind == "partial"):
            yield f"steps.{index}.cgroups", "goes with kind 'partial', and must be there for it"
        if len(step.cgroups) > 1:
            yield (
                f"steps.{index}.cgroups",
                "has more than one entry, and an agent takes one: name a slice that holds them all",
            )
        for group in step.cgroups:
            parts = group.split("/")
            if len(group) > LONGEST_LINE or not group.isprintable() or ".." in parts or "" in parts[:-1] or not group:
                yield (
                    f"steps.{index}.cgroups",
                    f"'{shortened(group, 60)}' is no cgroup below the root, such as a.slice/b.service",
                )
        if _ORDER.index(step.hosts) < widest:
            yield f"steps.{index}.hosts", "a later step cannot be on fewer hosts than one before it"
        widest = max(widest, _ORDER.index(step.hosts))

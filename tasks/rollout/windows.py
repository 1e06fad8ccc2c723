# SPDX-License-Identifier: Apache-2.0
"""Windows of the policy and of the host's own scheduler in turns, and which of them may be compared.

A window is of whatever the kernel says was attached, never of what was asked for.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from policy_lake.rollout import Arm, RolloutPlan, Unfit, Window

LEAST_SHARE = 0.9  # of a window's time: one that was cut off more is no measurement of it


@dataclass(frozen=True, slots=True)
class Block:
    """Two windows next to each other, one of each arm."""

    number: int
    policy: Window
    baseline: Window


def arms(seed: int) -> Iterator[tuple[Arm, Arm]]:
    """Who goes first in each block, without end: by chance, so that nothing periodic on a host can favour one arm.

    Of each two blocks one begins with either: a drift is shared alike.
    """
    chance = random.Random(seed)
    while True:
        first: tuple[Arm, Arm] = ("policy", "baseline") if chance.random() < 0.5 else ("baseline", "policy")
        yield first
        yield first[1], first[0]


def unfit(window: Window, ops: str, plan: RolloutPlan) -> Unfit | None:
    """Why the window counts for nothing; None where it is what its arm says, `ops` being the policy's name."""
    for seen in (window.begin, window.end):
        if seen.enabled != (window.arm == "policy") or (seen.enabled and seen.ops != ops):
            return Unfit.ATTACHED
    if window.begin.enable_seq != window.end.enable_seq:
        return Unfit.REPLACED
    if window.seconds < LEAST_SHARE * (plan.window_s - plan.settle_s):
        return Unfit.SHORT
    return None


def blocks(windows: Iterable[Window], ops: str, plan: RolloutPlan) -> tuple[tuple[Block, ...], int]:
    """The pairs that may be compared, by number, and how many windows count for nothing."""
    halves: dict[tuple[str, int], dict[Arm, Window]] = {}
    lost = 0
    for window in windows:
        if unfit(window, ops, plan):
            lost += 1
        else:
            halves.setdefault((window.host, window.block), {})[window.arm] = window
    whole = [(key, pair) for key, pair in sorted(halves.items()) if len(pair) == 2]
    return tuple(Block(number, pair["policy"], pair["baseline"]) for (_, number), pair in whole), lost

# SPDX-License-Identifier: Apache-2.0
"""The planners that can be compared, by name; each is made with a seed."""

from __future__ import annotations

from collections.abc import Callable

from tasks.planners.comparators import CONTROL, BanditPlanner, KnobPlanner, RandomPlanner, StockPlanner
from tasks.planners.embedded import EmbeddedPlanner
from tasks.planners.protocol import Planner
from tasks.planners.q_learning import QPlanner

TUNED = "vtime"  # whose knobs are searched by those who search one policy's: it suits most, and has several
MAKERS: dict[str, Callable[[int], Planner]] = {
    "embedded": lambda seed: EmbeddedPlanner(),
    "random": RandomPlanner,
    "stock": lambda seed: StockPlanner(),
    "control": lambda seed: StockPlanner(CONTROL, "control"),
    "optuna": lambda seed: KnobPlanner(seed, TUNED),
    "bandit": BanditPlanner,
    "q-learning": lambda seed: QPlanner(seed, TUNED),
}

# SPDX-License-Identifier: Apache-2.0
"""The planners that can be compared, by name; each is made with a seed."""

from __future__ import annotations

from collections.abc import Callable

from tasks.planners.comparators import CONTROL, BanditPlanner, KnobPlanner, RandomPlanner, StockPlanner
from tasks.planners.embedded import EmbeddedPlanner
from tasks.planners.protocol import Planner
from tasks.planners.q_learning import QPlanner

MAKERS: dict[str, Callable[[int], Planner]] = {
    "embedded": lambda seed: EmbeddedPlanner(),
    "random": RandomPlanner,
    "stock": lambda seed: StockPlanner(),
    "control": lambda seed: StockPlanner(CONTROL, "control"),
    "optuna": KnobPlanner,
    "bandit": BanditPlanner,
    "q-learning": QPlanner,
}

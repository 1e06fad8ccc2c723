# SPDX-License-Identifier: Apache-2.0
"""When two sets of knob values are the same."""

from __future__ import annotations

from planner_cases import policy

from policy_lake.model import Knob
from tasks.planners.knobs import attempt

INT = Knob("depth", "int", "4", "", 2, 9)
BOOL = Knob("eager", "bool", "false", "")


def test_a_default_counts_as_if_it_were_set() -> None:
    some = policy("some", INT, BOOL)
    assert attempt(some, {}) == attempt(some, {"depth": "4", "eager": 0})
    assert attempt(some, {}) != attempt(some, {"depth": 5})
    assert attempt(some, {"eager": True, "depth": 5}) == attempt(some, {"depth": 5, "eager": "yes"})

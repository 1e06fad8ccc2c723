# SPDX-License-Identifier: Apache-2.0
"""What a knob takes, and when two sets of settings are the same."""

from __future__ import annotations

from typing import Any

import pytest
from planner_cases import COMM, LIBRARY, policy

from policy_lake.model import Knob
from tasks.planners.knobs import KnobError, attempt, legal, settle

INT = Knob("depth", "int", "4", "", 2, 9)
INTS = Knob("sizes", "ints", "", "", 0, 99)
BOOL = Knob("eager", "bool", "false", "")


@pytest.mark.parametrize(
    ("knob", "value", "form"),
    [
        (INT, 2, 2),
        (INT, "9", 9),
        (INT, 5.0, 5),
        (INT, "0x5", 5),
        (BOOL, True, True),
        (BOOL, "off", False),
        (BOOL, 1, True),
        (INTS, "1, 2", "1,2"),
        (INTS, [3, 4], "3,4"),
        (INTS, 7, "7"),
        (COMM, "long, short ,", "long,short"),
        (COMM, ["Web Content"], "Web Content"),
    ],
)
def test_a_legal_value_is_brought_into_the_form_of_its_kind(knob: Knob, value: Any, form: Any) -> None:
    made = legal(knob, value)
    assert (made, type(made)) == (form, type(form))


@pytest.mark.parametrize(
    ("knob", "value"),
    [
        (INT, 1),
        (INT, 10),
        (INT, 5.5),
        (INT, True),
        (INT, "many"),
        (INT, float("nan")),
        (INT, float("inf")),
        (INT, None),
        (BOOL, 2),
        (BOOL, ""),
        (INTS, "1,100"),
        (INTS, "1,x"),
        (COMM, "sixteen-bytes-xx"),
        (COMM, ["a,b"]),
        (COMM, "tab\there"),
    ],
)
def test_any_other_value_is_refused_by_name(knob: Knob, value: Any) -> None:
    with pytest.raises(KnobError, match=knob.name):
        legal(knob, value)


def test_an_unknown_knob_is_refused_with_the_names_of_the_known() -> None:
    with pytest.raises(KnobError, match="rr has no knob 'warp'; it has preempt, slice_ns"):
        settle(LIBRARY[2], {"warp": 9})


def test_a_default_counts_as_if_it_were_set() -> None:
    some = policy("some", INT, BOOL)
    assert attempt(some, {}) == attempt(some, {"depth": "4", "eager": 0})
    assert attempt(some, {}) != attempt(some, {"depth": 5})
    assert attempt(some, {"eager": True, "depth": 5}) == attempt(some, {"depth": 5, "eager": "yes"})

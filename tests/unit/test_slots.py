# SPDX-License-Identifier: Apache-2.0
"""The template's slots: expressions over its facts and nothing else."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpf.library import read_policy
from bpf.slots import DEEPEST, FACTS, LONGEST, TEMPLATE, SlotError, checked, fill


def test_a_template_without_slots_is_itself_and_says_what_it_is() -> None:
    assert fill({}) == TEMPLATE.read_text()
    policy = read_policy(fill({}), "slots", "library")
    assert [knob.name for knob in policy.knobs] == ["protect_ns", "put_off_most_ns"] and policy.good_for


def test_facts_are_those_of_the_template() -> None:
    (listed,) = re.findall(r"struct facts \{\n\ts64 (.*?);", TEMPLATE.read_text())
    assert tuple(listed.split(", ")) == FACTS


def test_an_expression_is_put_in_as_it_is_over_the_facts() -> None:
    filled = fill(
        {"key": "div(burst_ns * 4, weight) - (woken ? 2*SX_MS : -1)", "preempt": "!kthread && queued >= cpus"}
    )
    assert "#define SLOT_KEY (div ( f.burst_ns * 4 , f.weight ) - ( f.woken ? 2 * SX_MS : - 1 ))\n" in filled
    assert "#define SLOT_PREEMPT (! f.kthread && f.queued >= f.cpus)\n" in filled
    assert "#define SLOT_QUEUE 0\n" in filled


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty"), ("  ", "empty"), ("1" * (LONGEST + 1), "length"), ("weight; return 0", "character"),
        ("weight {", "character"), ("weight /* x */", "operator"), ("weight / 2", "operator"),
        ("weight % 2", "operator"),
        ("weight = 2", "operator"), ("weight & 1", "operator"), ("p", "name"), ("f", "name"), ("sizeof", "name"),
        ("bpf_ktime_get_ns()", "name"), ("weight(1)", "form"), ("(weight", "form"), ("weight)", "form"),
        ("1 2", "form"),
        ("min(1)", "form"), ("min(1, 2, 3)", "form"), ("1, 2", "form"), ("weight ?", "form"), ("1 ? 2", "form"),
        ("weight\n#include", "character"), ("0x10", "character"), ("1.5", "character"), ("\\", "character"),
        ("\"a\"", "character"), ("1 +", "form"), ("weight\u00b2", "character"),
        ("(" * (DEEPEST + 1) + "1" + ")" * (DEEPEST + 1), "depth"),
    ],
)  # fmt: skip
def test_what_is_no_expression_is_refused(text: str, code: str) -> None:
    with pytest.raises(SlotError, match=r"^slot key: ") as refused:
        fill({"key": text})
    assert refused.value.code == code


def test_a_slot_that_is_not_there_is_refused() -> None:
    with pytest.raises(SlotError, match="only key, slice, queue, preempt"):
        fill({"dispatch": "1"})
    assert checked("key", "(" * DEEPEST + "1" + ")" * DEEPEST)


@given(st.text(alphabet="()?:,+-*!<>=&|;{}#\n\\\"' /%0123weightusmindv_", max_size=60))
def test_nothing_that_passes_can_leave_its_place(text: str) -> None:
    try:
        made: Any = checked("key", text)
    except SlotError:
        return
    assert not set(made) & set(";{}#\n\\\"'/%=") - set("=") and made.count("(") == made.count(")")
    depth = 0
    for character in made:
        depth += (character == "(") - (character == ")")
        assert depth >= 0

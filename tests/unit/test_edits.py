# SPDX-License-Identifier: Apache-2.0
"""Exact edits: made all or none, and refused with the reason where an anchor does not stand there exactly once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpf.edits import MOST_EDITS, Edit, EditError, apply_edits

SOURCE = "one\n\ttwo\nthree\ntwo\n"


def test_edits_are_made_wherever_they_stand_and_in_any_order() -> None:
    edits = [Edit("three", "3"), Edit("one\n", "")]
    assert apply_edits(SOURCE, edits) == apply_edits(SOURCE, edits[::-1]) == "\ttwo\n3\ntwo\n"
    assert apply_edits("ab", [Edit("a", "b"), Edit("b", "a")]) == "ba", "each anchor is of the source as it was"


@pytest.mark.parametrize(
    ("edits", "code", "said"),
    [
        ([], "none", "there is no edit"),
        ([Edit("x", "y")] * (MOST_EDITS + 1), "many", "33 edits are more than 32"),
        ([Edit("", "y")], "empty", "edit 1: its anchor is empty"),
        ([Edit("one", "one")], "same", "edit 1: it changes nothing"),
        ([Edit("one", "1"), Edit("four", "4")], "absent", "edit 2: its anchor is not in the source"),
        ([Edit("  three", "3")], "absent", "line 3 is like its first line, with other blanks"),
        ([Edit("two", "2")], "ambiguous", "begins in lines 2, 4: take more"),
        ([Edit("one\n\ttwo", "1"), Edit("two\nthree", "3")], "overlap", "edit 2: it changes what edit 1 changes"),
    ],
)
def test_an_edit_that_does_not_fit_is_refused_with_the_reason(edits: list[Edit], code: str, said: str) -> None:
    with pytest.raises(EditError, match=said) as refused:
        apply_edits(SOURCE, edits)
    assert refused.value.code == code


def test_as_many_edits_as_may_be_are_made_and_neighbours_do_not_overlap() -> None:
    source = "".join(f"<{n}>" for n in range(MOST_EDITS))
    assert apply_edits(source, [Edit(f"<{n}>", "") for n in range(MOST_EDITS)]) == ""


def test_an_anchor_that_overlaps_itself_is_not_there_once() -> None:
    with pytest.raises(EditError) as refused:
        apply_edits("aaa", [Edit("aa", "b")])
    assert refused.value.code == "ambiguous"


@given(st.text(), st.lists(st.tuples(st.text(), st.text()), max_size=5))
def test_whatever_the_edits_are_they_are_all_made_or_refused(source: str, pairs: list[tuple[str, str]]) -> None:
    edits = [Edit(*pair) for pair in pairs]
    try:
        made = apply_edits(source, edits)
    except EditError as error:
        assert len(str(error)) < 300
        return
    assert all(source.count(edit.find) == 1 for edit in edits)
    assert len(made) == len(source) + sum(len(edit.replace) - len(edit.find) for edit in edits)

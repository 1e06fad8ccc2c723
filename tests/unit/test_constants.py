# SPDX-License-Identifier: Apache-2.0
"""Words that set an object's constants: what is written into it, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from object_cases import object_bytes
from planner_cases import policy as policy_of

from bpf.library import policy
from policy_lake.constants import check_known, check_sets
from policy_lake.errors import InputError
from policy_lake.knobs import knob_words, split_word, values_of
from policy_lake.model import Knob
from verifier_vm.object.errors import ObjectError
from verifier_vm.object.filled import constants
from verifier_vm.object.knobs import read_knobs
from verifier_vm.object.ops import apply_arguments, read_ops
from verifier_vm.object.program import read_program

single = st.one_of(st.integers(), st.sampled_from(["yes", "7", "0x10", "make", "a=b", "Web Content", ""]))
values = st.one_of(single, st.lists(single, max_size=4))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_is_taken_is_written_into_the_object_under_its_name(data: st.DataObject) -> None:
    whole, of = object_bytes("ljf"), policy("ljf")
    knob = data.draw(st.sampled_from(of.knobs))
    try:
        (made,) = knob_words(of, {knob.name: data.draw(values)})
    except InputError:
        return
    program = read_program(whole)
    before = {section: bytes(content) for section, content in program.data.items()}
    apply_arguments(program, read_ops(program), [made])
    place = next(constant for constant in constants(program) if constant.name == knob.name)
    after = program.data[place.section]
    assert len(after) == len(before[place.section])
    assert after[: place.offset] == before[place.section][: place.offset]
    assert after[place.offset + place.size :] == before[place.section][place.offset + place.size :]
    first = made.split("=", 1)[1].split(",")[0]
    here = after[place.offset :]
    expected = first.encode() + b"\0" if knob.kind == "names" else (int(first) % (1 << 64)).to_bytes(8, "little")[:1]
    assert here.startswith(expected)


@pytest.mark.parametrize("text", ["", "slice_ns", "=1"])
def test_a_word_without_a_name_or_a_value_is_refused_wherever_it_is_read(text: str) -> None:
    assert split_word(text) is None and values_of([text]) == {}
    program = read_program(object_bytes("ljf"))
    with pytest.raises(ObjectError) as refusal:
        apply_arguments(program, read_ops(program), [text])
    assert refusal.value.bug == "knob"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("slice", "near names: slice_ns, slices_ns"),
        ("k1", "near names: k19, k18, k17, k16, k15"),
        ("qqq", "it has slice_ns, slices_ns, k10, k11, k12 and 7 more"),
    ],
)
def test_what_the_object_has_not_is_refused_with_names_that_are_near(name: str, says: str) -> None:
    names = ("slice_ns", "slices_ns", *(f"k{n}" for n in range(10, 20)))
    of = policy_of("mine", *(Knob(known, "int", "", "") for known in names))
    with pytest.raises(InputError, match=f"'mine' has no variable '{name}' .*; {says}$"):
        check_known(of, {name: 1, "slice_ns": 1})
    check_known(of, {"slice_ns": 1, "ops.use": "x", "ops.flag": "y"})
    with pytest.raises(InputError, match=r"; it has a$"):
        check_known(policy_of("mine", Knob("a", "int", "", "")), {name: 1})
    with pytest.raises(InputError, match=r"; it has none$"):
        check_known(policy_of("mine"), {name: 1})


def test_an_object_says_the_same_of_its_knobs_as_its_source() -> None:
    there = read_knobs(object_bytes("ljf"))
    here = {knob.name: knob for knob in policy("ljf").knobs}
    assert {knob.name for knob in there} >= set(here)
    for knob in there:
        if knob.name in here:
            bare = replace(here[knob.name], default="", doc="", low=None, high=None, unit="")
            assert knob == bare


@pytest.mark.parametrize(("knob", "value", "takes"), [
    (Knob("x", "int", "", "", c_type="u32"), "abc", "u32 x takes a whole number from 0 to 4294967295, not 'abc'"),
    (Knob("x", "int", "", "", c_type="s8"), 200, "s8 x takes a whole number from -128 to 127, not "),
    (Knob("x", "bool", "", "", c_type="bool"), "7", "bool x takes true or false, not '7'"),
    (Knob("x", "ints", "", "", c_type="u8", count=2), "1,2,3", "u8 x[2] takes up to 2 whole numbers from 0 to 255,"),
    (Knob("x", "names", "", "", c_type="char", count=2), "a" * 16, "char x[2][16] takes up to 2 names, with commas"),
    (Knob("x", "names", "", "", c_type="char", name_bytes=3), "long", "char x[4] takes a name of 1 to 3 bytes"),
])  # fmt: skip
def test_what_a_constant_does_not_take_is_told_with_its_type(knob: Knob, value: object, takes: str) -> None:
    with pytest.raises(InputError) as refused:
        check_sets([Knob("y", "int", "", ""), knob], {"x": value})
    assert str(refused.value).startswith(f"--set x: {takes}") and "knob" not in str(refused.value)
    check_sets([knob], {"y": value, "x": "1"})

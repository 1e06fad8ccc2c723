# SPDX-License-Identifier: Apache-2.0
"""Which conditions of an object are the policy's own, and which of their ways are error paths (golden/objects/ways)."""

from __future__ import annotations

import pytest
from object_cases import GOOD, OBJECTS, object_bytes

from verifier_vm.coverage.conditions import comparison, read_conditions
from verifier_vm.coverage.error_paths import JUMPED, WENT_ON
from verifier_vm.object.decode import BY_REGISTER, JMP, JMP32, Instruction
from verifier_vm.object.errors import ObjectError

SOURCE = (OBJECTS / "ways.bpf.c").read_text().splitlines()


@pytest.fixture(scope="module")
def ways():
    return read_conditions(object_bytes("ways"))


def at(ways, word):
    """The conditions on the line that ends in that word."""
    (line,) = [number for number, text in enumerate(SOURCE, 1) if f"/* {word} */" in text]
    return sorted(condition for condition in ways.known if condition[0][:2] == ("ways.bpf.c", line))


@pytest.mark.parametrize("word", ["storage", "array", "error"])
def test_a_failure_that_the_bpf_verifier_wants_looked_at_is_an_error_path(ways, word):
    (condition,) = at(ways, word)
    (way,) = ways.error[condition]
    jumps_if_null = condition[2] == 4
    if word != "error":
        assert way == (JUMPED if jumps_if_null else WENT_ON)


FAILING = ["variable", "in a loop", "constant", "in a subprogram", "another failure", "of a subprogram"]
NOT_FAILING = ["goes on", "a level", "a count", "borne", "not there", "nothing returned", "truth"]


@pytest.mark.parametrize("word", FAILING)
def test_a_call_that_failed_and_whose_failure_is_returned_is_an_error_path(ways, word):
    (condition,) = at(ways, word)
    (way,) = ways.error[condition]
    jumps_if_failed = condition[2] in (5, 12)  # jne, jl
    assert way == (JUMPED if jumps_if_failed else WENT_ON)


@pytest.mark.parametrize("word", NOT_FAILING)
def test_a_result_that_is_no_failure_or_is_not_returned_is_no_error_path(ways, word):
    (condition,) = at(ways, word)
    assert not ways.error[condition]


@pytest.mark.parametrize("word", ["hash", "plain", "sum"])
def test_what_can_be_either_is_no_error_path(ways, word):
    (condition,) = at(ways, word)
    assert not ways.error[condition] and condition not in ways.bounds and condition not in ways.loop_ends


def test_a_loop_is_one_condition_and_its_bounds_are_none(ways):
    ends, bounds = sorted(at(ways, "loop"), key=lambda condition: condition in ways.bounds)
    assert ways.loop_ends[ends] == JUMPED and bounds in ways.bounds and not ways.error[ends]


def test_callbacks_that_run_when_all_is_over_are_none(ways):
    assert "ways_exit" not in ways.callbacks and {"ways_enqueue", "ways_running"} <= ways.callbacks


@pytest.mark.parametrize("name", GOOD)
def test_a_condition_is_known_by_its_place_and_its_bytes(name):
    found = read_conditions(object_bytes(name))
    assert found.known and all(file and line and bytes_ for (file, line, _), bytes_, _ in found.known)
    assert set().union(*found.by_place.values()) == found.known == found.error.keys()


@pytest.mark.parametrize(
    ("instruction", "code"),
    [
        (Instruction(JMP | 0x10, 0, 0, 1, 0), "4885c0"),  # test %rax,%rax
        (Instruction(JMP32 | 0x50, 8, 0, 1, 0), "4585f6"),  # test %r14d,%r14d
        (Instruction(JMP | 0x20, 1, 0, 1, 127), "4883ff7f"),
        (Instruction(JMP | 0x20, 1, 0, 1, 128), "4881ff80000000"),
        (Instruction(JMP32 | 0x20, 3, 0, 1, -1), "83faff"),
        (Instruction(JMP | 0x60 | BY_REGISTER, 6, 9, 1, 0), "4c39fb"),  # cmp %r15,%rbx
        (Instruction(JMP32 | 0xA0 | BY_REGISTER, 5, 0, 1, 0), "4139c0"),  # cmp %eax,%r8d
        (Instruction(JMP | 0x40, 2, 0, 1, 8), "48f7c608000000"),
        (Instruction(JMP32 | 0x40, 7, 0, 1, 8), "41f7c508000000"),
        (Instruction(JMP | 0x40 | BY_REGISTER, 2, 4, 1, 0), "4885ce"),
    ],
)
def test_a_comparison_is_what_the_jit_makes_of_it(instruction, code):
    assert comparison(instruction) == bytes.fromhex(code)


@pytest.mark.parametrize("data", [b"", b"\x7fELF", object_bytes("ways")[:5000]])
def test_what_is_no_object_has_no_conditions(data):
    with pytest.raises(ObjectError):
        read_conditions(data)


def test_functions_that_are_given_away_to_be_called_are_known_by_where_they_begin():
    passed_on = read_conditions(object_bytes("paths")).passed_on
    assert set(passed_on.values()) == {"add", "add_all"}
    assert not read_conditions(object_bytes("ways")).passed_on

# SPDX-License-Identifier: Apache-2.0
"""What a knob takes, the one form of it, and that planner, builder, job, command line and token check agree on both."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planner_cases import context
from planner_cases import policy as policy_of

from bpf.library import policies, policy, read_policy
from policy_lake.errors import InputError
from policy_lake.guest import GuestJob, GuestStep
from policy_lake.knobs import (
    MOST_BYTES,
    MOST_WORDS,
    KnobError,
    canonical,
    knob_words,
    parse_knob_values,
    settle,
    values_of,
)
from policy_lake.model import Knob, KnobValue, Policy, PolicyPlan
from tasks.plan import candidate_of, make_candidate
from tasks.planners.selection import select_plans
from tasks.trial.build import arguments_of
from verifier_vm.machine.job import encode_job

INT = Knob("depth", "int", "4", "", 2, 9)
BYTE = Knob("byte", "int", "4", "", c_type="u8")
INTS = Knob("sizes", "ints", "", "", 0, 99, count=3)
BOOL = Knob("eager", "bool", "false", "")
COMM = Knob("comm", "names", "", "", count=2)
SHORT = Knob("short", "names", "", "", count=2, name_bytes=7)


@pytest.mark.parametrize(
    ("knob", "value", "form"),
    [
        (INT, 2, 2),
        (INT, "9", 9),
        (INT, "+9", 9),
        (INT, 5.0, 5),
        (INT, " 0x5 ", 5),
        (BYTE, 255, 255),
        (BYTE, "-0", 0),
        (Knob("any", "int", "", ""), -(2**63), -(2**63)),
        (Knob("any", "int", "", ""), "0xffffffffffffffff", 2**64 - 1),
        (BOOL, True, True),
        (BOOL, "off", False),
        (BOOL, "YES", True),
        (BOOL, 1, True),
        (BOOL, 0.0, False),
        (INTS, "1, 0x2", "1,2"),
        (INTS, [3, 4], "3,4"),
        (INTS, 7, "7"),
        (COMM, "long, short ", "long,short"),
        (COMM, ["Web Content"], "Web Content"),
        (COMM, "Isolated Web Co", "Isolated Web Co"),
        (COMM, "a=b,=", "a=b,="),
        (COMM, "ääääääa", "ääääääa"),
        (COMM, "", ""),
        (SHORT, "seven-b", "seven-b"),
    ],
)
def test_a_legal_value_is_brought_into_the_form_of_its_kind(knob: Knob, value: Any, form: Any) -> None:
    made = canonical(knob, value)
    assert (made, type(made)) == (form, type(form))
    assert canonical(knob, made) == made


@pytest.mark.parametrize(
    ("knob", "value"),
    [
        (INT, 1),
        (INT, 10),
        (INT, 5.5),
        (INT, True),
        (INT, "many"),
        (INT, "007"),  # C would take it for octal
        (INT, "1_0"),
        (INT, "٣"),
        (INT, "0b11"),
        pytest.param(INT, "9" * 5000, id="long"),
        pytest.param(INT, 10**5000, id="huge"),
        (INT, float("nan")),
        (INT, float("inf")),
        (INT, None),
        (BYTE, 256),
        (BYTE, -1),
        (Knob("any", "int", "", "", c_type="s32"), 2**31),
        (Knob("any", "int", "", "", 0, 1000, c_type="u8"), 300),  # documented, but beyond its type
        (BOOL, 2),
        pytest.param(BOOL, 10**5000, id="huge truth"),
        (BOOL, ""),
        (INTS, ""),
        (INTS, "1,100"),
        (INTS, "1,,2"),
        (INTS, "1,x"),
        (INTS, "1,2,3,4"),
        (INTS, [True]),
        (COMM, "sixteen-bytes-xx"),
        (COMM, "ääääääää"),
        (COMM, ["a,b"]),
        (COMM, "a,"),
        (COMM, ",a"),
        (COMM, "a,b,c"),
        (COMM, "tab\there"),
        (COMM, "\tname"),
        (COMM, "line\n"),
        (COMM, "nul\0"),
        (COMM, "\ud800"),
        (SHORT, "eight-by"),
    ],
)
def test_any_other_value_is_refused_by_name(knob: Knob, value: Any) -> None:
    with pytest.raises(KnobError, match=rf"^knob '{knob.name}'[^\n]*$") as refusal:
        canonical(knob, value)
    assert len(str(refusal.value)) < 250


@pytest.mark.parametrize("text", ["1" + "0" * 26, "-" + "9" * 500, "0x" + "f" * 17])
def test_a_number_that_is_too_large_is_told_what_it_may_be(text: str) -> None:
    with pytest.raises(KnobError, match=r"^knob 'n' is from 0 to [0-9]+, not a number of more than 64 bits$"):
        canonical(Knob("n", "int", "", "", c_type="u64"), text)


@pytest.mark.parametrize(
    ("policy_id", "given_settings", "words"),
    [
        ("fifo", {"speed": 1}, r"policy 'fifo' has no knob 'speed'; it has: slice_ns"),
        ("fifo", {"slice_ns": 1}, r"policy 'fifo': knob 'slice_ns' is from 1000000 to 100000000 ns, not 1$"),
        ("fifo", {"slice_ns": 10**9}, r"not 1000000000$"),
        ("fifo", {"slice_ns": "soon"}, r"is a whole number, not 'soon'"),
        ("rr", {"preempt": "maybe"}, r"is true or false, not 'maybe'"),
        ("ljf", {"job_comm": ",".join(f"n{i}" for i in range(40))}, r"takes up to 16 items, not 40"),
        ("ljf", {"job_comm": "a,,b"}, r"names of 1 to 15 bytes .*, not ''"),
        ("ljf", {"job_cpu_ns": "1,-1"}, r"is from 0 to \d+ ns, not -1"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_with_the_policy(
    policy_id: str, given_settings: dict[str, KnobValue], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        knob_words(policy(policy_id), given_settings)


def test_settings_become_the_words_of_the_loader_in_the_policys_order() -> None:
    given_settings = {"job_cpu_ns": "5,7", "slice_ns": 5e6, "job_comm": "make, cc1"}
    words = ("job_comm=make,cc1", "job_cpu_ns=5,7", "slice_ns=5000000")
    assert knob_words(policy("ljf"), given_settings) == words
    assert knob_words(policy("rr"), {"preempt": "off"}) == ("preempt=0",)
    assert knob_words(policy("ljf"), {"job_comm": ""}) == ("job_comm=",)


def test_settings_that_load_alike_are_one_candidate() -> None:
    ids = {candidate_of(policy("fifo"), {"slice_ns": value}).id for value in (5_000_000, "0x4C4B40", "5000000", 5e6)}
    assert len(ids) == 1
    assert candidate_of(policy("fifo"), {"slice_ns": 5_000_001}).id not in ids


def test_more_than_a_step_of_a_guest_holds_is_refused() -> None:
    many = policy_of("many", *(Knob(f"k{n}", "int", "0", "") for n in range(MOST_WORDS + 1)))
    assert len(knob_words(many, {f"k{n}": 1 for n in range(MOST_WORDS)})) == MOST_WORDS
    with pytest.raises(InputError, match=f"63 knobs are set, and a guest's loader takes {MOST_WORDS}"):
        knob_words(many, {f"k{n}": 1 for n in range(MOST_WORDS + 1)})
    large = policy_of("large", Knob("x", "ints", "", "", count=10**6))
    assert knob_words(large, {"x": "1," * (MOST_BYTES // 2 - 2) + "1"})
    with pytest.raises(InputError, match="bytes, and a guest's loader takes 65536"):
        knob_words(large, {"x": "1," * (MOST_BYTES // 2 - 1) + "1"})


@pytest.mark.parametrize("text", ["slice", "=1", "", "a b=1", "ops.timeout_ms=1", "é=1", "a=\t", "a=\n1", "a=\0"])
def test_what_is_no_setting_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError, match=r"^--knob '[^\n\t\0]*': [^\n]+$"):
        parse_knob_values([text])


def test_a_knob_given_twice_is_refused() -> None:
    assert parse_knob_values(["a=1", "b=x=y"]) == {"a": "1", "b": "x=y"}
    with pytest.raises(InputError, match="a is given twice"):
        parse_knob_values(["a=1", "a=2"])


# Every user of knob values, as it comes to the loader's words.


def as_planner(of: Policy, given_settings: dict[str, Any]) -> tuple[str, ...]:
    """A plan admitted, made a candidate, and built; InputError where the plan was dropped."""
    plans = select_plans([PolicyPlan(of.id, given_settings, "", "test")], context(policies=(of,)))
    if not plans:
        raise InputError("dropped")
    return arguments_of(make_candidate(plans[0], of, run_id="r", iteration=1), b"", None)


def as_builder(of: Policy, given_settings: dict[str, Any]) -> tuple[str, ...]:
    return arguments_of(candidate_of(of, given_settings), b"", None)


def as_command_line(of: Policy, given_settings: dict[str, Any]) -> tuple[str, ...]:
    """`score --knob` and `verify --knob`; every value as a user would write it."""
    texts = [f"{name}={text_of(value)}" for name, value in given_settings.items()]
    return knob_words(of, parse_knob_values(texts))


def as_job(of: Policy, given_settings: dict[str, Any]) -> tuple[str, ...]:
    """What the guest's init reads from the job: its line split at tabs (verifier_vm/guest/init.c)."""
    attach = GuestStep("attach", ("policy.bpf.o", *knob_words(of, given_settings)))
    lines = encode_job(GuestJob({}, (attach,))).split(b"\n")
    assert len(lines) == 4, "one step, a seed, `go`, and the end"
    fields = lines[0].removeprefix(b"step ").decode().split("\t")
    return tuple(fields[4:])


def as_object(of: Policy, given_settings: dict[str, Any]) -> tuple[str, ...]:
    """What the analysis of an object and the judge read out of the words that they are given."""
    return knob_words(of, values_of(knob_words(of, given_settings)))


USERS = (as_planner, as_builder, as_command_line, as_job, as_object)


def text_of(value: Any) -> str:
    """As a user would write it; 5e6 is how a model writes a whole number."""
    if isinstance(value, list):
        return ",".join(map(text_of, value))
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


TYPES = ("u8", "s8", "u16", "__s32", "unsigned int", "u64", "s64", "bool", "char")
EDGES = [-(2**63) - 1, -(2**63), -129, -128, -1, 0, 1, 127, 128, 255, 256, 2**31, 2**32, 2**63, 2**64 - 1, 2**64]
hostile = st.text(st.sampled_from(" ,=\t\n\0\\\"'$`;aZ9é日\u2028\u202e\ud800"), max_size=18)
numbers = st.one_of(st.sampled_from(EDGES), st.integers(), st.sampled_from([hex(n) for n in EDGES if n >= 0]))
words = st.sampled_from(["yes", "no", "on", "off", "true", "False", "1", "007", "5e6", "", " 7 ", "Isolated Web Co"])
plain = st.one_of(numbers, words, hostile, st.booleans())
single = st.one_of(plain, st.floats())
listed = st.lists(st.one_of(numbers, words, hostile.map(lambda text: text.replace(",", "") or "x")), max_size=5)


@st.composite
def declared_policies(draw: st.DrawFn) -> Policy:
    lines = []
    for name in draw(st.lists(st.sampled_from(["a", "b_ns", "job_comm"]), unique=True, min_size=1)):
        c_type, dims = draw(st.sampled_from(TYPES)), draw(st.sampled_from(["", "[4]", "[3][16]", "[2][8]"]))
        span = draw(st.sampled_from(["", " /* ns, 0..1000: documented */", " /* -5..5: documented */"]))
        lines.append(f"const volatile {c_type} {name}{dims};{span}\n")
    return read_policy("".join(lines), "mine", "user")


@settings(max_examples=600, deadline=None)
@given(declared_policies(), st.data())
def test_whatever_one_user_takes_all_take_to_the_same_words_and_whatever_it_refuses_all_refuse(
    of: Policy, data: st.DataObject
) -> None:
    drawn_from = {"int": single, "bool": single, "ints": st.one_of(single, listed), "names": st.one_of(plain, listed)}
    kinds = {**{knob.name: drawn_from[knob.kind] for knob in of.knobs}, "unknown": single}
    names = data.draw(st.lists(st.sampled_from(sorted(kinds)), unique=True, min_size=1, max_size=3))
    chosen = {name: data.draw(kinds[name], label=name) for name in names}
    try:
        expected = knob_words(of, chosen)
    except InputError as refusal:
        assert "\n" not in str(refusal)
        for user in USERS:
            with pytest.raises(InputError):
                user(of, chosen)
        return
    for user in USERS:
        assert user(of, chosen) == expected, user.__name__
    assert settle(of, settle(of, chosen)) == settle(of, chosen)
    for word, knob in zip(expected, [knob for knob in of.knobs if knob.name in chosen], strict=True):
        assert fits_the_loader(word, knob), (word, knob)


def fits_the_loader(word: str, knob: Knob) -> bool:
    """What verifier_vm/guest/knobs.c checks before it writes, and that nothing is cut off by the write."""
    value = word.split("=", 1)[1]
    if knob.kind == "names":
        items = value.split(",")
        return len(items) <= knob.count and all(len(item.encode()) <= knob.name_bytes for item in items)
    others = {"bool": (0, 1), "char": (-128, 127)}
    low, high = others.get(knob.c_type) or type_range(knob.c_type[0] == "s", int(knob.c_type[1:]))
    numbers = value.split(",")
    return len(numbers) <= knob.count and all(
        re.fullmatch(r"0|-?[1-9][0-9]*", number) and low <= int(number) <= high for number in numbers
    )


def type_range(signed: bool, bits: int) -> tuple[int, int]:
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)


@pytest.mark.parametrize("of", policies(), ids=lambda of: of.id)
def test_the_defaults_of_the_library_are_legal(of: Policy) -> None:
    given_settings = {knob.name: knob.default for knob in of.knobs if knob.kind != "ints"}
    assert len(knob_words(of, given_settings)) == len(given_settings)

# SPDX-License-Identifier: Apache-2.0
"""What an object is loaded with: constants that only it tells of, its policies, the kernel's flags."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from object_cases import object_bytes

from policy_lake.errors import InputError
from policy_lake.knobs import OPS_FLAG, OPS_USE
from policy_lake.model import Knob, Policy
from tasks.trial import words
from tasks.trial.words import with_constants, words_for

LJF = object_bytes("ljf")
KERNEL: Any = SimpleNamespace(release="7.3.4")
OURS = Knob("slice_ns", "int", "5000000", "as the source says", 100_000, 100_000_000, "ns")
POLICY = Policy("ljf", "ljf", "", "", "", "source", (OURS,))
FLAGS = {
    "SCX_OPS_ENQ_LAST": 2, "SCX_OPS_HIGHEST": 1 << 55, "SCX_OPS_INTERNAL": 1 << 56, "SCX_OPS_NAME_LEN": 128,
    "SCX_OPS_TWO_BITS": 3, "SCX_OPS_NONE": 0, "SCX_SLICE_DFL": 1 << 4,
}  # fmt: skip


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """How often the kernel's headers were read."""
    seen: list[Any] = []
    monkeypatch.setattr(words, "kernel_values", lambda kernel: seen.append(kernel) or SimpleNamespace(constants=FLAGS))
    return seen


def test_constants_of_the_object_stand_beside_the_sources_own(asked: list[Any]) -> None:
    names = [knob.name for knob in with_constants(POLICY, LJF).knobs]
    assert with_constants(POLICY, LJF).knobs[0] is OURS and names.count("slice_ns") == 1 and len(names) > 1
    other = next(name for name in names if name != "slice_ns")
    assert with_constants(POLICY, b"no object") == POLICY, "who analyses it says why"
    with pytest.raises(InputError, match=f"no variable '{other}'"):
        words_for(POLICY, {other: "x"}, b"no object", KERNEL)
    assert words_for(POLICY, {"slice_ns": 200_000}, LJF, KERNEL) == ("slice_ns=200000",)
    assert words_for(POLICY, {}, b"no object", KERNEL) == () and asked == [], "no flag, no kernel"


def test_a_setting_that_only_the_object_knows_is_taken() -> None:
    bare = Policy("ljf", "ljf", "", "", "", "source", ())
    assert words_for(bare, {"slice_ns": 200_000}, LJF, KERNEL) == ("slice_ns=200000",)
    with pytest.raises(InputError, match="no variable 'nonesuch'"):
        words_for(bare, {"nonesuch": 1, "slice_ns": 200_000}, LJF, KERNEL)
    with pytest.raises(InputError, match="from 100000 to"):
        words_for(POLICY, {"slice_ns": 1, OPS_USE: ""}, LJF, KERNEL)


@pytest.mark.parametrize("flags", ["SCX_OPS_ENQ_LAST", "SCX_OPS_HIGHEST", "SCX_OPS_ENQ_LAST,SCX_OPS_HIGHEST"])
def test_flags_of_one_bit_below_the_kernels_own_are_set(flags: str, asked: list[Any]) -> None:
    assert words_for(POLICY, {OPS_FLAG: flags}, LJF, KERNEL) == (f"ops.flag={flags}",) and asked == [KERNEL]


@pytest.mark.parametrize(
    "flag",
    ["SCX_OPS_INTERNAL", "SCX_OPS_NAME_LEN", "SCX_OPS_TWO_BITS", "SCX_OPS_NONE", "SCX_SLICE_DFL", "SCX_OPS_GONE"],
)
def test_what_is_no_flag_is_refused_with_those_that_there_are(flag: str) -> None:
    for given in (flag, f"SCX_OPS_ENQ_LAST,{flag}"):
        with pytest.raises(InputError) as error:
            words_for(POLICY, {OPS_FLAG: given}, LJF, KERNEL)
        assert str(error.value) == (
            f"--ops-flag {flag}: kernel 7.3.4 has no such flag; it has: SCX_OPS_ENQ_LAST, SCX_OPS_HIGHEST"
        )


def test_a_policy_that_the_object_does_not_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        InputError, match=r"--ops gone: the object has no such sched_ext policy; it has: (\w+)$"
    ) as error:
        words_for(POLICY, {OPS_USE: "gone"}, LJF, KERNEL)
    name = str(error.value).split()[-1]
    assert words_for(POLICY, {OPS_USE: name}, LJF, KERNEL) == (f"ops.use={name}",)
    assert words_for(POLICY, {OPS_USE: "gone"}, b"no object", KERNEL) == ("ops.use=gone",), "who analyses it says why"
    monkeypatch.setattr(words, "policy_names", lambda program: [])
    with pytest.raises(InputError, match=r"it has: none$"):
        words_for(POLICY, {OPS_USE: "gone"}, LJF, KERNEL)


def test_of_several_policies_the_user_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    words.check_one({}, LJF)
    words.check_one({}, b"no object")
    monkeypatch.setattr(words, "policy_names", lambda program: ["first", "second"])
    with pytest.raises(InputError) as error:
        words.check_one({}, LJF)
    assert str(error.value) == "the object has more than one sched_ext policy, first, second: say which with --ops NAME"
    words.check_one({OPS_USE: "second"}, LJF)
    monkeypatch.setattr(words, "policy_names", lambda program: [f"p{i}" for i in range(20)])
    with pytest.raises(InputError, match=r"p0, .*p7 and 12 more: say"):
        words.check_one({}, LJF)

# SPDX-License-Identifier: Apache-2.0
"""The reader of x86 code: lengths and jumps of what the kernel's JIT writes, and no guess at anything else."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifier_vm.coverage.x86 import CodeError, decode_one, follow

# From code of the kernel's JIT, each as long as objdump says.
KNOWN = """f30f1efa 0f1f440000 0f1f00 55 4889e5 4881ec18000000 4155 488b5f00 4531f6 48bf00eedc04000011ff 4889de 31d2
4c8975f0 bf500d0000 4883c7e8 4d85ed 83c6ff 897700 48c7470000000000 48c7c0eaffffff 4183fe0f 48c1e604
4869f600ca9a3b 50 48f7f7 480fb6f8 c9 4863c7 65488b042540000000 f0480fc10f 480fc8 c4e2c1f7c2 66c747080500
f6c301 f7c700010000 48f7d8 6641b80500 0f94c0 480f44c1 8d0480 488d84c700010000 488d0500000000 0fae00 e8aabbccdd"""


@pytest.mark.parametrize("text", KNOWN.split())
def test_an_instruction_is_as_long_as_it_is(text):
    code = bytes.fromhex(text)
    assert decode_one(code + b"\x90" * 8, 0).size == len(code)


@pytest.mark.parametrize(
    ("text", "kind", "target"),
    [("7405", "branch", 7), ("75fe", "branch", 0), ("0f8410000000", "branch", 22), ("0f8df0ffffff", "branch", -10),
     ("eb02", "jump", 4), ("e9fbffffff", "jump", 0), ("c3", "end", 0), ("0f0b", "end", 0), ("e8fbffffff", "plain", 0)],
)  # fmt: skip
def test_a_jump_goes_where_it_says(text, kind, target):
    found = decode_one(bytes.fromhex(text), 0)
    assert (found.kind, found.target) == (kind, target)


def test_only_what_can_be_reached_is_read():
    assert sorted(follow(bytes.fromhex("eb01ff31c0c3"))) == [0, 3, 5]
    assert sorted(follow(bytes.fromhex("7401f4c3"))) == [0, 2, 3]
    assert sorted(follow(bytes.fromhex("e9ffff0000"))) == [0]  # out of the function, to a return thunk
    with pytest.raises(CodeError, match="middle"):
        follow(bytes.fromhex("740131c0c3"))


@pytest.mark.parametrize("text", ["", "48", "0f84", "7405", "06", "0fff", "ffe0", "31c0", "e8", "c4"])
def test_what_is_not_known_or_runs_out_is_refused(text):
    with pytest.raises(CodeError):
        follow(bytes.fromhex(text))


@given(st.binary(max_size=60))
def test_any_bytes_are_followed_or_refused(code):
    try:
        found = follow(code)
    except CodeError:
        return
    covered = sorted((at, instruction.after) for at, instruction in found.items())
    assert all(end <= begin for (_, end), (begin, _) in pairwise(covered))
    assert all(at >= 0 and after <= len(code) for at, after in covered)

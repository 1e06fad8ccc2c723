# SPDX-License-Identifier: Apache-2.0
"""What the loader says of an object, and what it cannot have said."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from policy_lake.errors import InfraError
from verifier_vm.judge.facts import Facts, read_facts
from verifier_vm.machine.declared import parse_declared


def said(log: str) -> Facts:
    event: Any = SimpleNamespace(declared=parse_declared(log, where="step 'attach'"))
    return read_facts(event)


def test_callbacks_maps_and_flags_are_read_and_nothing_is_none_of_them() -> None:
    assert said("libbpf: x\nhas: enqueue init map:events flags:1f\n") == Facts(
        frozenset(("enqueue", "init")), ("events",), 31
    )
    assert said("") == said("has:") == Facts()


@pytest.mark.parametrize("flags", ["", "#n", "-1", "0x1", "1" * 17, "١"])
def test_flags_that_are_no_number_are_told(flags: str) -> None:
    with pytest.raises(InfraError, match="step 'attach': the loader's flags of the ops are no number in hex"):
        said(f"has: enqueue flags:{flags}")

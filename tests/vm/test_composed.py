# SPDX-License-Identifier: Apache-2.0
"""Compositions at random in a real guest: the short tier finds nothing against them."""

from __future__ import annotations

import pytest
from compositions import some_compositions

from bpf.build import compile_policy
from bpf.compose import compose
from verifier_vm.judge.gate import verify_object

pytestmark = pytest.mark.vm


@pytest.mark.parametrize("made", some_compositions(6, 3), ids=lambda made: "-".join(v for _, v in made.mechanisms()))
def test_a_composition_survives(guest, made):
    built = compile_policy(compose(made), name="mine", vmlinux_dir=guest.kernel.headers)
    verdict = verify_object(built.data, (), guest.machine).verdict
    assert verdict.accepted, verdict.rejection

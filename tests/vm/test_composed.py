# SPDX-License-Identifier: Apache-2.0
"""Compositions at random in a real guest: the short tier finds nothing against them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from compositions import some_compositions

import bpf
from bpf.build import compile_policy
from bpf.compose import compose
from bpf.composition import Composition
from policy_lake.topology import Topology
from verifier_vm.judge.gate import verify_object

pytestmark = pytest.mark.vm
DUE = (Path(bpf.__file__).parent / "primitives/due.bpf.h").read_text().splitlines()
# The lines of sx_head_overdue.
HEAD_OVERDUE = range(next(at for at, line in enumerate(DUE, 1) if "bool sx_head_overdue" in line), len(DUE))


@pytest.mark.parametrize("made", some_compositions(6, 3), ids=lambda made: "-".join(v for _, v in made.mechanisms()))
def test_a_composition_survives(guest, made):
    built = compile_policy(compose(made), name="mine", vmlinux_dir=guest.kernel.headers)
    verdict = verify_object(built.data, (), guest.machine).verdict
    assert verdict.accepted, verdict.rejection


@pytest.mark.parametrize("llcs", [1, 2])
def test_each_cache_has_a_queue(guest, llcs):
    """Of one queue there is no other to look into, so what compares its first with the clock never runs."""
    source = compose(Composition("mine", order="woken", queues="llc", steal="overdue"))
    built = compile_policy(source, name="mine", vmlinux_dir=guest.kernel.headers)
    machine = replace(guest.machine, topology=Topology(4, llcs=llcs))
    verdict = verify_object(built.data, (), machine).verdict
    assert verdict.accepted and verdict.coverage and not verdict.coverage.unknown, verdict.rejection
    ran = {
        Path(file.file).name
        for file in verdict.coverage.files
        if file.file.endswith("due.bpf.h") and set(file.ran) & set(HEAD_OVERDUE)
    }
    assert ran == ({"due.bpf.h"} if llcs > 1 else set())

# SPDX-License-Identifier: Apache-2.0
"""A machine scaled to a guest's CPUs: its structure stays, whatever the machine and the count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machine_cases import machines

from benchmarks.machines import machine
from benchmarks.scaled_machine import at
from policy_lake.errors import InputError
from policy_lake.limits import CPUS
from policy_lake.machine_model import MachineModel
from policy_lake.topology import Topology

COUNTS = st.integers(1, int(CPUS.high))


@given(machines(), COUNTS)
def test_the_structure_stays(model: MachineModel, cpus: int) -> None:
    whole, part = model.topology, at(model, cpus).model.topology
    assert part.smt == whole.smt or (cpus < whole.smt and part.smt == 1)
    if whole.llcs > 1:
        assert part.cpus // part.llcs <= whole.cpus // whole.llcs
        # none more than it takes: with one node's share of LLCs less, the CPUs that were asked for would not fit
        assert (part.llcs - part.nodes) * (whole.cpus // whole.llcs) < cpus
    else:
        assert part.llcs == 1
    if whole.nodes == 1:
        assert part.nodes == 1
    else:
        assert part.llcs // part.nodes <= whole.llcs // whole.nodes


@given(machines(), COUNTS)
def test_the_count_is_what_was_asked_or_the_next_that_is_even(model: MachineModel, cpus: int) -> None:
    part = at(model, cpus).model.topology
    step = part.llcs * part.smt
    assert cpus <= part.cpus < cpus + step or (cpus > part.cpus > cpus - step and cpus + step > CPUS.high)


@given(machines(), COUNTS)
def test_turbo_and_capacity_fit_what_is_left(model: MachineModel, cpus: int) -> None:
    scaled = at(model, cpus).model
    lie, costs, whole = scaled.topology, scaled.costs, model.costs
    assert costs.turbo == whole.turbo[: lie.cpus // (lie.smt * lie.nodes)]
    if costs.capacity:
        assert len(costs.capacity) == lie.cpus and max(costs.capacity) == max(whole.capacity)
        assert set(costs.capacity) <= set(whole.capacity)
        assert all(len(set(costs.capacity[at : at + lie.smt])) == 1 for at in range(0, lie.cpus, lie.smt))
    same = ("user_ps", "kernel_ps", "switch_ns", "l2_kib", "llc_kib", "llc_mbps", "memory_mbps", "node_mbps")
    assert all(getattr(costs, name) == getattr(whole, name) for name in same)


@given(machines())
def test_all_of_it_is_itself(model: MachineModel) -> None:
    assert at(model, model.topology.cpus).model == model


@given(machines(), COUNTS)
def test_it_is_a_function_of_its_inputs(model: MachineModel, cpus: int) -> None:
    assert at(model, cpus) == at(model, cpus)


@pytest.mark.parametrize(
    ("name", "cpus", "topology", "words"),
    [
        ("server", 16, Topology(16, llcs=2), "16 of 64 CPUs: 2 of 8 LLCs"),
        ("server", 9, Topology(10, llcs=2), "10 of 64 CPUs: 2 of 8 LLCs, since 9 cannot be spread evenly"),
        ("desktop", 16, Topology(16, llcs=2, smt=2), "all 16 CPUs: 2 of 2 LLCs"),
        ("desktop", 1, Topology(1), "1 of 16 CPUs: 1 of 2 LLCs, one thread a core for 2"),
        ("desktop", 24, Topology(24, llcs=3, smt=2), "24 CPUs, more than its 16: 3 LLCs for 2"),
        ("laptop", 16, Topology(16), "16 CPUs, more than its 8: one LLC for all"),
        ("sockets", 8, Topology(8), "8 of 16 CPUs: 1 of 2 LLCs, 1 of 2 nodes"),
        ("flat", 4, Topology(4), "4 of 64 CPUs"),
    ],
)
def test_it_says_in_words_what_was_done(name: str, cpus: int, topology: Topology, words: str) -> None:
    scaled = at(machine(name), cpus)
    assert (scaled.model.topology, scaled.words) == (topology, words)


def test_a_part_of_a_hybrid_has_both_kinds_of_cores() -> None:
    assert at(machine("hybrid"), 4).model.costs.capacity == (1024, 1024, 604, 604)
    assert at(machine("hybrid"), 1).model.costs.capacity == ()


def test_a_node_alone_has_no_other() -> None:
    assert at(machine("sockets"), 8).model.costs.remote_mbps == 0
    assert at(machine("sockets"), 16).model.costs.remote_mbps == 3900


@pytest.mark.parametrize("cpus", [0, -1, 65])
def test_a_count_that_no_guest_can_have_is_refused(cpus: int) -> None:
    with pytest.raises(InputError):
        at(machine("server"), cpus)

# SPDX-License-Identifier: Apache-2.0
"""Topologies: what QEMU is asked for adds up, and what cannot be is refused with its numbers."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_lake.errors import InputError
from policy_lake.limits import CPUS
from verifier_vm.machine.topology import Topology


@st.composite
def topologies(draw: st.DrawFn) -> Topology:
    """Any that can be: nodes of LLCs of cores of threads."""
    nodes, per_node = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    smt, cores = draw(st.integers(1, 2)), draw(st.integers(1, 8))
    llcs = nodes * per_node
    cores = min(cores, int(CPUS.high) // (llcs * smt))
    return Topology(llcs * smt * cores, llcs, smt, nodes)


def options(topology: Topology, memory_mib: int = 512) -> tuple[dict[str, int], list[dict[str, str]]]:
    """QEMU's options as it reads them: -smp as numbers, and each -numa."""
    arguments = topology.arguments(memory_mib, tuple(f"ram{node}" for node in range(topology.nodes)))
    pairs = list(zip(arguments[::2], arguments[1::2], strict=True))
    smp = next(value for name, value in pairs if name == "-smp")
    first, *rest = smp.split(",")
    numa = [dict(part.split("=") for part in v.removeprefix("node,").split(",")) for n, v in pairs if n == "-numa"]
    assert ("-m", str(memory_mib)) in pairs
    return {"cpus": int(first)} | {name: int(value) for name, value in (part.split("=") for part in rest)}, numa


@given(topologies())
def test_what_qemu_is_asked_for_adds_up(topology: Topology) -> None:
    smp, _ = options(topology)
    assert smp["cpus"] == topology.cpus
    assert smp["sockets"] * smp["dies"] * smp["cores"] * smp["threads"] == topology.cpus
    assert (smp["sockets"], smp["threads"]) == (topology.llcs, topology.smt)


@given(topologies())
def test_every_cpu_is_in_one_node_and_no_llc_is_in_two(topology: Topology) -> None:
    _, numa = options(topology)
    assert [node["nodeid"] for node in numa] == [str(node) for node in range(topology.nodes)]
    assert len({node["memdev"] for node in numa}) == topology.nodes
    seen: list[int] = []
    llc = topology.cpus // topology.llcs
    for node in numa:
        first, last = map(int, node["cpus"].split("-"))
        assert first % llc == 0 and (last + 1) % llc == 0
        seen += range(first, last + 1)
    assert seen == list(range(topology.cpus))


@given(st.integers(-3, 70), st.integers(-2, 9), st.integers(-2, 5), st.integers(-2, 5))
def test_a_topology_is_right_or_refused_with_its_numbers(cpus: int, llcs: int, smt: int, nodes: int) -> None:
    given_numbers = {"cpus": cpus, "llcs": llcs, "smt": smt, "nodes": nodes}
    possible = (
        min(given_numbers.values()) >= 1 and cpus <= int(CPUS.high) and not cpus % (llcs * smt) and not llcs % nodes
    )
    try:
        made = Topology(**given_numbers)
    except InputError as error:
        assert not possible
        text, numbers = str(error), set(map(int, re.findall(r"-?\d+", str(error))))
        assert "\n" not in text
        if outside := [name for name, value in given_numbers.items() if not 1 <= value <= CPUS.high]:
            assert text.startswith(f"{outside[0]}: {given_numbers[outside[0]]} ")
        else:  # a 1 goes without saying
            assert {value for value in given_numbers.values() if value > 1} <= numbers
    else:
        assert possible
        assert options(made)[0]["cpus"] == cpus


def test_a_topology_is_told_as_people_say_it() -> None:
    assert str(Topology(1)) == "1 CPU"
    assert str(Topology(8, 2, 2, 2)) == "8 CPUs, 2 LLCs, 2 nodes, 2 threads a core"


@pytest.mark.parametrize("wrong", [(6, 4, 1, 1), (6, 2, 2, 1), (8, 2, 1, 3), (65, 1, 1, 1), (0, 1, 1, 1)])
def test_what_cannot_be_is_refused_before_a_guest_is_started(wrong: tuple[int, int, int, int]) -> None:
    with pytest.raises(InputError):
        Topology(*wrong)

# SPDX-License-Identifier: Apache-2.0
"""Topologies: what QEMU is asked for adds up, and what cannot be is refused with its numbers."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_lake.errors import InputError
from policy_lake.limits import CPUS
from policy_lake.topology import HostCpus, Topology, outside, parse_topology
from tasks.host.settings import load_settings
from verifier_vm.machine.qemu import topology_arguments


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
    arguments = topology_arguments(topology, memory_mib, tuple(f"ram{node}" for node in range(topology.nodes)))
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


@pytest.mark.parametrize(
    ("host", "why"),
    [
        (HostCpus(1), ""), (HostCpus(2), ""), (HostCpus(4, smt=2), ""), (HostCpus(4, llcs=2, smt=2), ""),
        (HostCpus(3), ""),  # of four, which has more to get wrong
        (HostCpus(5), "5 CPUs are more than the 4 that were tried"),
        (HostCpus(2, nodes=2), "2 CPUs, 2 nodes are another kind of machine than was tried"),
        (HostCpus(2, unequal=True), "CPUs of unequal speed were not tried"),
    ],
    ids=str,
)  # fmt: skip
def test_a_host_is_within_what_was_tried_or_is_told_why_not(host: HostCpus, why: str) -> None:
    assert outside(host, [Topology(2), Topology(4, llcs=2, smt=2)]) == why


def test_what_two_guests_had_apart_was_not_tried_together() -> None:
    apart = [Topology(8, llcs=2), Topology(4, smt=2)]
    assert not outside(HostCpus(8, llcs=4), apart) and not outside(HostCpus(4, smt=2), apart)
    assert outside(HostCpus(4, llcs=2, smt=2), apart) and outside(HostCpus(8, smt=2), apart)
    assert outside(HostCpus(1), []) == "1 CPUs are more than the 0 that were tried"


@given(st.integers(1, 80), st.integers(1, 9), st.integers(1, 8), st.integers(1, 5))
def test_a_guest_that_is_like_a_host_has_all_that_it_has(cpus: int, llcs: int, smt: int, nodes: int) -> None:
    host = HostCpus(cpus, llcs, smt, nodes)
    like = host.like_it()
    if like is None:
        assert cpus > CPUS.high - 4
    else:
        assert outside(host, [like]) == "" and like.cpus < cpus + 4


@pytest.mark.parametrize(
    ("text", "topology"),
    [
        ("cpus=8,llcs=2,smt=2,nodes=2", Topology(8, 2, 2, 2)),
        ("smt=2,cpus=4", Topology(4, 1, 2)),
        ("cpus=3", Topology(3)),
    ],
)
def test_a_topology_is_read_from_words(text: str, topology: Topology) -> None:
    assert parse_topology(text, "--topology") == topology


@pytest.mark.parametrize(
    "text", ["", "8", "cpus=", "cpus=8,cpus=8", "cores=4", "cpus=-1", "cpus=65", "cpus=3,smt=2", "cpus=²",
             "cpus=" + "9" * 5000, "cpus=4,nodes=2", "cpus=2\n", "cpus=2,,", ",".join(["cpus=2"] * 4000)],
)  # fmt: skip
def test_words_that_are_no_topology_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError, match=r"^--topology: ") as caught:
        parse_topology(text, "--topology")
    assert len(str(caught.value)) < 200 and "\n" not in str(caught.value)


def test_a_wrong_topology_is_told_by_its_option_and_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"^--topology 'cpus=8,smt=3': (?!Value error)"):
        load_settings(topologies="cpus=8,smt=3")
    monkeypatch.setenv("SCHEDCP_TOPOLOGIES", "cpus=8,smt=3")
    with pytest.raises(InputError, match=r"^SCHEDCP_TOPOLOGIES='cpus=8,smt=3': "):
        load_settings()

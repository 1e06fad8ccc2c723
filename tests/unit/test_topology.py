# SPDX-License-Identifier: Apache-2.0
"""Topologies: QEMU's options add up to what was asked for, and what cannot be is refused with its numbers."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_lake.model import InputError
from verifier_vm.topology import MOST_CPUS, Topology


@st.composite
def topologies(draw):
    nodes, llcs_a_node, smt = (draw(st.integers(1, 4)) for _ in range(3))
    llcs = nodes * llcs_a_node
    cores = draw(st.integers(1, max(1, MOST_CPUS // (llcs * smt))))
    cpus = llcs * smt * cores
    return Topology(*(cpus, llcs, smt, nodes) if cpus <= MOST_CPUS else (nodes, nodes, 1, nodes))


def backends(topology):
    return tuple(f"ram{node}" for node in range(topology.nodes))


@given(topologies())
def test_the_arguments_add_up(topology):
    arguments = topology.arguments(512, backends(topology))
    given_options = list(zip(arguments[::2], arguments[1::2], strict=True))
    smp = dict(given_options)["-smp"]
    total, sockets, dies, cores, threads = (int(n) for n in re.findall(r"\d+", smp))
    assert total == topology.cpus == sockets * dies * cores * threads
    assert (sockets, threads) == (topology.llcs, topology.smt)
    assert dict(given_options)["-m"] == "512"
    numa = [value for option, value in given_options if option == "-numa"]
    seen = []
    for node, value in enumerate(numa):
        first, last = map(int, re.search(r"cpus=(\d+)-(\d+)$", value).groups())
        assert f"nodeid={node},memdev=ram{node}," in value
        # A socket is never torn between nodes: QEMU would refuse it, or show an LLC that spans them.
        assert first % (cores * threads) == 0 and (last + 1) % (cores * threads) == 0
        seen += range(first, last + 1)
    assert seen == list(range(topology.cpus))


def test_the_usual_shapes():
    assert Topology().arguments(512, ("ram0",)) == [
        "-smp", "2,sockets=1,dies=1,cores=2,threads=1", "-m", "512",
        "-numa", "node,nodeid=0,memdev=ram0,cpus=0-1",
    ]  # fmt: skip
    assert Topology(8, 2, 2, 2).arguments(512, ("ram0", "ram1")) == [
        "-smp", "8,sockets=2,dies=1,cores=2,threads=2", "-m", "512",
        "-numa", "node,nodeid=0,memdev=ram0,cpus=0-3", "-numa", "node,nodeid=1,memdev=ram1,cpus=4-7",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ((0, 1, 1, 1), ["cpus", "0"]),
        ((-3, 1, 1, 1), ["cpus", "-3"]),
        ((2, 0, 1, 1), ["llcs", "0"]),
        ((2, 1, -1, 1), ["smt", "-1"]),
        ((2, 1, 1, 0), ["nodes", "0"]),
        ((MOST_CPUS + 1, 1, 1, 1), [str(MOST_CPUS + 1), str(MOST_CPUS)]),
        ((7, 2, 1, 1), ["7 CPUs", "2 LLCs"]),
        ((6, 1, 4, 1), ["6 CPUs", "4 threads"]),
        ((8, 4, 4, 2), ["8 CPUs", "4 LLCs", "4 threads"]),
        ((8, 2, 1, 4), ["2 LLCs", "4 nodes"]),
        ((6, 3, 1, 2), ["3 LLCs", "2 nodes"]),
    ],
)
def test_what_cannot_be_is_refused_with_its_numbers(counts, says):
    with pytest.raises(InputError) as refusal:
        Topology(*counts)
    assert "\n" not in str(refusal.value)
    for part in says:
        assert part in str(refusal.value)


@pytest.mark.parametrize(
    ("topology", "text"),
    [
        (Topology(1), "1 CPU"),
        (Topology(), "2 CPUs"),
        (Topology(8, 2), "8 CPUs, 2 LLCs"),
        (Topology(8, 2, 2, 2), "8 CPUs, 2 LLCs, 2 nodes, 2 threads a core"),
    ],
)
def test_a_topology_reads_well(topology, text):
    assert str(topology) == text

# SPDX-License-Identifier: Apache-2.0
"""This host as a machine: what sysfs says made even, costs measured or of a kind, and where they are from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from machine_cases import MINE, sysfs, write

from benchmarks.machine_file import read_machine
from benchmarks.machine_text import descriptor_text
from benchmarks.machines import machine, machine_files
from benchmarks.scaled_machine import at
from policy_lake.errors import InfraError, InputError
from policy_lake.topology import Topology
from tasks.host.machine import find_machine, host_machine
from tasks.host.settings import load_settings
from tasks.host.topology import _even, read_host_topology

PAIRS = [[n, n + 8] for n in range(8)]
SINGLES = [[n] for n in range(8)]


def settings(tmp_path: Path) -> Any:
    return load_settings(data_dir=tmp_path / "data")


@pytest.mark.parametrize(
    ("cores", "llcs", "nodes", "topology", "kind"),
    [
        (SINGLES, [list(range(8))], ["0-7"], Topology(8), "laptop"),
        (PAIRS, [[0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]], ["0-15"], Topology(16, 2, 2), "desktop"),
        (SINGLES, [[n, n + 1] for n in (0, 2, 4, 6)], ["0-7"], Topology(8, 4), "server"),
        (SINGLES, [[0, 1, 2, 3], [4, 5, 6, 7]], ["0-3", "4-7"], Topology(8, 2, nodes=2), "sockets"),
        (SINGLES[:1], [[0]], ["0"], Topology(1), "laptop"),
    ],
)
def test_how_its_cpus_lie_and_its_kind(
    tmp_path: Path, cores: list[list[int]], llcs: list[list[int]], nodes: list[str], topology: Topology, kind: str
) -> None:
    host = host_machine(settings(tmp_path), sysfs(tmp_path / "sys", cores, llcs, nodes=nodes))
    assert host.model.topology == topology and host.model.name == "host"
    assert f"costs as of '{kind}'" in host.said and "schedcp machine measure" in host.said
    assert (host.model.costs.l2_kib, host.model.costs.llc_kib) == (512, 16384)
    assert host.model.sources["l2_kib"] == "sysfs of this host"
    assert host.model.sources["user_ps"].startswith(f"default of kind '{kind}'")
    assert (host.model.costs.remote_mbps > 0) == (topology.nodes > 1)
    assert (host.model.costs.smt < 1024) == (topology.smt > 1)
    assert read_machine(write(tmp_path, descriptor_text(host.model))) == host.model


def test_threads_of_one_core_are_neighbours_as_in_a_guest(tmp_path: Path) -> None:
    lie = read_host_topology(sysfs(tmp_path, PAIRS, [[0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]]))
    assert lie.cpus == (0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15)


def test_a_hybrid_whose_fast_cores_alone_have_threads(tmp_path: Path) -> None:
    cores = [[0, 1], [2, 3], [4], [5]]
    more = {f"devices__system__cpu__cpu{n}__cpu_capacity": "1024" if n < 4 else "600" for n in range(6)}
    host = host_machine(settings(tmp_path), sysfs(tmp_path / "sys", cores, [list(range(6))], **more))
    assert host.model.topology == Topology(4) and host.model.costs.capacity == (1024, 1024, 600, 600)
    assert "as of 'hybrid'" in host.said and "4 of its 6 CPUs" in host.model.sources["topology"]


def test_frequencies_stand_for_capacities_only_where_they_differ_much(tmp_path: Path) -> None:
    def capacities(name: str, *khz: int) -> tuple[int, ...]:
        more = {f"devices__system__cpu__cpu{n}__cpufreq__cpuinfo_max_freq": str(one) for n, one in enumerate(khz)}
        return read_host_topology(sysfs(tmp_path / name, [[0], [1]], [[0, 1]], **more)).capacity

    assert capacities("a", 5_000_000, 2_500_000) == (1024, 512)
    assert capacities("b", 5_000_000, 4_800_000) == ()


def test_an_llc_with_a_core_off_line_makes_all_as_small(tmp_path: Path) -> None:
    lie = read_host_topology(sysfs(tmp_path, SINGLES[:7], [[0, 1, 2, 3], [4, 5, 6]]))
    assert lie.topology == Topology(6, 2) and lie.cpus == (0, 1, 2, 4, 5, 6) and "6 of its 7" in lie.uneven


def test_a_host_larger_than_any_guest_keeps_its_structure(tmp_path: Path) -> None:
    cores = [[n, n + 64] for n in range(64)]
    llcs = [[n for core in cores[first : first + 8] for n in core] for first in range(0, 64, 8)]
    nodes = ["0-31,64-95", "32-63,96-127"]
    lie = read_host_topology(sysfs(tmp_path, cores, llcs, nodes=nodes))
    assert lie.topology == Topology(64, 4, 2, 2) and len(set(lie.cpus)) == 64


@hypothesis_settings(deadline=None)
@given(st.data())
def test_any_host_is_made_even(data: st.DataObject) -> None:
    smt, llcs, nodes = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 40)), data.draw(st.integers(1, 9))
    groups, node_of, next_cpu = [], {}, 0
    for _ in range(llcs):
        node = data.draw(st.integers(0, nodes - 1))
        group = []
        for _ in range(data.draw(st.integers(1, 40))):
            group.append(list(range(next_cpu, next_cpu + smt)))
            node_of |= dict.fromkeys(group[-1], node)
            next_cpu += smt
        groups.append(group)
    cpus, topology = _even(groups, smt, node_of)
    assert len(set(cpus)) == len(cpus) == topology.cpus <= 64 and topology.smt == smt
    an_llc, a_node = topology.cpus // topology.llcs, topology.cpus // topology.nodes
    llc_of = {cpu: number for number, group in enumerate(groups) for core in group for cpu in core}
    for first in range(0, topology.cpus, an_llc):
        assert len({llc_of[cpu] for cpu in cpus[first : first + an_llc]}) == 1
    for first in range(0, topology.cpus, a_node):
        assert len({node_of[cpu] for cpu in cpus[first : first + a_node]}) == 1
    assert len({llc_of[cpu] for cpu in cpus}) == topology.llcs


def test_idle_states_that_rise_are_taken_and_polling_is_none(tmp_path: Path) -> None:
    states = [("POLL", "0", "0"), ("C1", "2", "1"), ("C2", "36", "18"), ("C3", "20", "30"), ("C4", "x", "50")]
    more = {}
    for number, (name, residency, latency) in enumerate(states):
        at = f"devices__system__cpu__cpu0__cpuidle__state{number}"
        more |= {f"{at}__name": name, f"{at}__residency": residency, f"{at}__latency": latency}
    assert read_host_topology(sysfs(tmp_path, [[0]], [[0]], **more)).idle_states == ((2, 1000), (36, 18000))


@pytest.mark.parametrize("size", ["", "K", "0K", "999999999999K", "12X", "-5K", "٣K"])
def test_a_size_that_cannot_be_is_the_kinds(tmp_path: Path, size: str) -> None:
    root = sysfs(tmp_path / "sys", [[0]], [[0]], devices__system__cpu__cpu0__cache__index3__size=size)
    host = host_machine(settings(tmp_path), root)
    assert host.model.costs.llc_kib == machine("laptop").costs.llc_kib
    assert "default" in host.model.sources["llc_kib"]


def test_no_online_cpus_are_the_systems_failure(tmp_path: Path) -> None:
    with pytest.raises(InfraError):
        read_host_topology(tmp_path)
    with pytest.raises(InfraError):
        read_host_topology(sysfs(tmp_path / "sys", [], []))


def test_a_measured_file_of_this_topology_is_taken(tmp_path: Path) -> None:
    ours = settings(tmp_path)
    ours.data_dir.mkdir()
    path = write(ours.data_dir, MINE, "machine.toml")
    root = sysfs(tmp_path / "sys", PAIRS, [[0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]],
                 nodes=["0-3,8-11", "4-7,12-15"])  # fmt: skip
    host = host_machine(ours, root)
    assert host.model.costs == read_machine(path).costs and host.model.name == "host" and str(path) in host.said
    other = host_machine(ours, sysfs(tmp_path / "other", SINGLES, [list(range(8))]))
    assert other.model.topology == Topology(8) and "another machine" in other.said
    path.write_text("name = 3")
    with pytest.raises(InputError, match=str(path)):
        host_machine(ours, root)


def test_names_and_paths(tmp_path: Path) -> None:
    assert find_machine("desktop", settings(tmp_path)) == machine("desktop")
    assert find_machine("host", settings(tmp_path)).name == "host"
    assert find_machine(str(write(tmp_path, MINE)), settings(tmp_path)).name == "mine"
    with pytest.raises(InputError, match="is 'host' meant"):
        find_machine("hosst", settings(tmp_path))


@pytest.mark.parametrize("name", machine_files())
@pytest.mark.parametrize("cpus", [1, 2, 3, 8, 16, 24, 64])
def test_a_scaled_machine_is_one_that_a_file_can_describe(tmp_path: Path, name: str, cpus: int) -> None:
    scaled = at(machine(name), cpus).model
    assert read_machine(write(tmp_path, descriptor_text(scaled))) == scaled


@pytest.mark.parametrize(("size", "kib"), [("32M", 32768), ("1G", 1 << 20), ("20480K", 20480)])
def test_sizes_are_in_any_unit_of_the_kernels(tmp_path: Path, size: str, kib: int) -> None:
    root = sysfs(tmp_path, [[0]], [[0]], devices__system__cpu__cpu0__cache__index3__size=size)
    assert read_host_topology(root).llc_kib == kib


def test_where_the_last_cache_is_a_cores_own_there_is_no_other_before_it(tmp_path: Path) -> None:
    root = sysfs(tmp_path / "sys", [[0]], [[0]], devices__system__cpu__cpu0__cache__index3__size="512K")
    lie = read_host_topology(root)
    assert (lie.l2_kib, lie.llc_kib) == (0, 512)
    host = host_machine(settings(tmp_path), root).model
    assert (host.costs.l2_kib, host.costs.llc_mbps, "llc_gbps" in host.sources) == (0, 0, False)
    assert read_machine(write(tmp_path, descriptor_text(host))) == host


def test_without_caches_a_package_is_taken_for_one(tmp_path: Path) -> None:
    more = {f"devices__system__cpu__cpu{n}__topology__physical_package_id": str(n // 2) for n in range(4)}
    lie = read_host_topology(sysfs(tmp_path, SINGLES[:4], [], **more))
    assert lie.topology == Topology(4, 2) and (lie.l2_kib, lie.llc_kib) == (0, 0)


def test_a_host_of_more_nodes_than_a_guest_has_cpus(tmp_path: Path) -> None:
    lie = read_host_topology(
        sysfs(tmp_path, [[n] for n in range(80)], [[n] for n in range(80)], nodes=[str(n) for n in range(80)])
    )
    assert lie.topology == Topology(64, 64, 1, 64) and lie.cpus == tuple(range(64))


def test_one_llc_with_threads_is_a_desktop_and_sockets_with_threads_have_its_smt(tmp_path: Path) -> None:
    one = host_machine(settings(tmp_path), sysfs(tmp_path / "one", PAIRS, [list(range(16))])).model
    assert "as of 'desktop'" in one.title and one.costs.smt == machine("desktop").costs.smt
    two = host_machine(
        settings(tmp_path), sysfs(tmp_path / "two", [[0, 1], [2, 3]], [[0, 1], [2, 3]], nodes=["0-1", "2-3"])
    )
    assert two.model.costs.smt == machine("desktop").costs.smt and two.model.costs.turbo == ()


def test_turbo_ends_with_the_cores_of_a_node(tmp_path: Path) -> None:
    host = host_machine(settings(tmp_path), sysfs(tmp_path / "sys", PAIRS[:4], [[0, 1, 8, 9], [2, 3, 10, 11]])).model
    assert host.topology == Topology(8, 2, 2) and host.costs.turbo == machine("desktop").costs.turbo[:4]

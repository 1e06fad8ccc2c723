# SPDX-License-Identifier: Apache-2.0
"""How this host's CPUs lie, as a machine of equal LLCs and nodes; what its kernel says of caches and speeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from policy_lake import limits
from policy_lake.errors import InfraError
from policy_lake.host_cpus import CPUS, SYS, data_caches, last_level, numbers_of, text_of
from policy_lake.limits import Limit
from policy_lake.machine_model import WHOLE, unearned
from policy_lake.topology import Topology

_KIB = {"K": 1, "M": 1 << 10, "G": 1 << 20}


@dataclass(frozen=True, slots=True)
class HostTopology:
    """`topology` with, for each of its CPUs, the host's number of it (`cpus`); what sysfs says, 0 or empty if nothing.

    `idle_states`: (target residency us, exit latency ns) of each state, rising. `uneven`: what was left out, in words.
    """

    topology: Topology
    cpus: tuple[int, ...]
    l2_kib: int = 0
    llc_kib: int = 0
    capacity: tuple[int, ...] = ()
    idle_states: tuple[tuple[int, int], ...] = ()
    uneven: str = ""


def read_host_topology(sys: Path = SYS) -> HostTopology:
    """This host's CPUs that are on line. InfraError where the kernel does not say which those are."""
    try:
        online = sorted(numbers_of((sys / CPUS / "online").read_text()))
        llc_of = {cpu: last_level(sys, cpu) for cpu in online}
        nodes = [numbers_of(text_of(at / "cpulist")) for at in _in_order(sys / "devices/system/node", "node[0-9]*")]
        cores: dict[frozenset[int], list[int]] = {}
        for cpu in online:
            siblings = numbers_of(text_of(sys / CPUS / f"cpu{cpu}/topology/thread_siblings_list")) or {cpu}
            cores.setdefault(frozenset(siblings), []).append(cpu)
    except (OSError, ValueError) as error:
        raise InfraError(f"{sys / CPUS}: how this host's CPUs lie cannot be read: {error}") from error
    if not online:
        raise InfraError(f"{sys / CPUS / 'online'}: names no CPU")
    threads = {len(its) for its in cores.values()}
    smt = threads.pop() if len(threads) == 1 else 1
    groups = _by_llc([its[:smt] for its in cores.values()], llc_of)
    node_of = {cpu: number for number, cpus in enumerate(nodes) for cpu in cpus}
    kept, topology = _even(groups, smt, node_of)
    uneven = f"{len(kept)} of its {len(online)} CPUs, spread evenly" if len(kept) < len(online) else ""
    first = kept[0]
    l2, llc = _cache_kib(sys, first, 2), _cache_kib(sys, first, 0)
    return HostTopology(
        topology, kept, l2 if l2 < llc else 0, llc, _capacities(sys, kept, smt), _idle_states(sys, first), uneven,
    )  # fmt: skip


def _by_llc(cores: Sequence[list[int]], llc_of: Mapping[int, str]) -> list[list[list[int]]]:
    groups: dict[str, list[list[int]]] = {}
    for core in cores:
        groups.setdefault(llc_of[core[0]], []).append(core)
    return sorted(groups.values(), key=lambda group: group[0])


def _even(groups: list[list[list[int]]], smt: int, node_of: Mapping[int, int]) -> tuple[tuple[int, ...], Topology]:
    """The CPUs, LLC by LLC, of the largest machine with equal LLCs and nodes that a guest can be."""
    groups = sorted(groups, key=lambda group: (node_of.get(group[0][0], 0), group[0]))
    most = int(limits.CPUS.high)
    smt = min(smt, most)
    cores = max(1, min([most // smt, *map(len, groups)]))
    by_node: dict[int, list[list[list[int]]]] = {}
    for group in groups:
        by_node.setdefault(node_of.get(group[0][0], 0), []).append(group)
    fit = most // (cores * smt)
    a_node = min([fit // len(by_node), *map(len, by_node.values())])
    if a_node < 1:  # more nodes than a guest has room for: as many of them as there is
        a_node, by_node = 1, dict(list(by_node.items())[:fit])
    chosen = [group for groups_there in by_node.values() for group in groups_there[:a_node]]
    cpus = tuple(cpu for group in chosen for core in group[:cores] for cpu in core[:smt])
    return cpus, Topology(len(cpus), len(chosen), smt, len(by_node))


def _cache_kib(sys: Path, cpu: int, level: int) -> int:
    """The size of the cache of that level, of the last one for 0; 0 where it is not said, or cannot be."""
    caches = data_caches(sys, cpu)
    wanted = level or max((found for found, _ in caches), default=0)
    text = next((text_of(at / "size") for found, at in caches if found == wanted), "")
    number, unit = text[:-1], text[-1:]
    kib = int(number) * _KIB[unit] if number.isascii() and number.isdigit() and unit in _KIB else 0
    return kib if _within(limits.MACHINE_L2_KIB if level == 2 else limits.MACHINE_LLC_KIB, kib) else 0


def _capacities(sys: Path, cpus: Sequence[int], smt: int) -> tuple[int, ...]:
    """The CPUs' speeds in 1024ths of the fastest, by capacity or else frequency; empty if equal or unknown."""
    for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):
        texts = [text_of(sys / CPUS / f"cpu{cpu}" / name) for cpu in cpus[::smt]]
        if all(text.isascii() and text.isdigit() and int(text) for text in texts):
            numbers = [int(text) for text in texts]
            shares = [round(number * WHOLE / max(numbers)) for number in numbers]
            # Cores of one design differ by some per cent in their highest frequency, which no scheduler goes by.
            least = 0.99 if name == "cpu_capacity" else 0.8
            if min(shares) >= least * WHOLE or not _within(limits.MACHINE_SPEED, min(shares) / WHOLE):
                return ()
            return tuple(share for share in shares for _ in range(smt))
    return ()


def _idle_states(sys: Path, cpu: int) -> tuple[tuple[int, int], ...]:
    states: list[tuple[int, int]] = []
    for at in _in_order(sys / CPUS / f"cpu{cpu}/cpuidle", "state[0-9]*"):
        texts = text_of(at / "residency"), text_of(at / "latency")
        if text_of(at / "name") == "POLL" or not all(text.isascii() and text.isdigit() for text in texts):
            continue
        residency_us, exit_ns = int(texts[0]), int(texts[1]) * 1000
        rises = not states or (residency_us > states[-1][0] and exit_ns >= states[-1][1])
        rises = rises and not unearned(residency_us, exit_ns)
        if rises and _within(limits.MACHINE_IDLE_US, residency_us) and _within(limits.MACHINE_EXIT_NS, exit_ns):
            states.append((residency_us, exit_ns))
    return tuple(states[: limits.MACHINE_IDLE_STATES])


def _in_order(folder: Path, names: str) -> list[Path]:
    """The files of those names by their numbers: state2 is before state10."""
    return sorted(folder.glob(names), key=lambda path: (len(path.name), path.name))


def _within(limit: Limit, number: float) -> bool:
    return limit.low <= number <= limit.high

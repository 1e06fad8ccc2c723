# SPDX-License-Identifier: Apache-2.0
"""What a machine's costs cost the clock: the same work with every term and without, guests in turn.

The instructions take a nanosecond in both, and slices are the same, so that neither does more than the other but for
what the terms themselves delay.
"""

from __future__ import annotations

import statistics
from dataclasses import replace

from benchmarks.machines import machine
from benchmarks.scaled_machine import at
from benchmarks.workloads import arguments
from control_plane.bench.figures import Figure
from control_plane.bench.timed import Timed, step, timed_run
from policy_lake.guest import GuestJob, GuestStep
from policy_lake.machine_model import WHOLE, Costs
from policy_lake.topology import Topology
from tasks.host.guest import Guest, Shape, prepare_guest
from tasks.host.settings import load_settings
from tasks.host.workloads import find_workload

CPUS = 4
LIMIT = 1.15


def costs_of_all_terms() -> Costs:
    """The desktop's, with CPUs of two speeds, two nodes, and instructions of the usual nanosecond."""
    costs = at(machine("desktop"), CPUS).model.costs
    return replace(
        costs, user_ps=1000, kernel_ps=1000, smt=machine("desktop").costs.smt, remote_mbps=costs.memory_mbps // 2,
        capacity=(WHOLE,) * (CPUS // 2) + (700,) * (CPUS // 2),
    )  # fmt: skip


def _guests() -> dict[bool, Guest]:
    shape = Shape(Topology(CPUS, llcs=2, smt=2, nodes=2), clock="virtual")
    costly = replace(shape, costs=costs_of_all_terms(), machine="all terms")
    return {costs: prepare_guest(load_settings(), costly if costs else shape) for costs in (True, False)}


def _works() -> dict[str, tuple[GuestStep, ...]]:
    def workload(name: str) -> tuple[GuestStep, ...]:
        described = find_workload(name, load_settings())
        return (step(name, described.program, *arguments(described, seed=1, accel="tcg")),)

    rounds = step("compression", "crunch", "--kind", "0", "--threads", str(CPUS), "--work", "400")
    return {"compression": (rounds,), "batch": workload("batch"), "schbench": workload("schbench")}


def machine_figures(repeats: int = 3) -> list[Figure]:
    """The medians' ratio of QEMU's CPU time, which a busy host does not change, and of wall time beside it."""
    guests, figures = _guests(), []
    for name, steps in _works().items():
        taken: dict[bool, list[Timed]] = {True: [], False: []}
        for _ in range(repeats):
            for costs, done in taken.items():
                done.append(timed_run(GuestJob({}, steps, seed=1), guests[costs].machine))
        cpu_s = {costs: statistics.median(timed.cpu_s[name] for timed in done) for costs, done in taken.items()}
        wall_s = {costs: statistics.median(timed.wall_s[name] for timed in done) for costs, done in taken.items()}
        cpu, wall = cpu_s[True] / cpu_s[False], wall_s[True] / wall_s[False]
        measured = (
            f"{cpu:.2f}x CPU ({cpu_s[True]:.2f} s, without {cpu_s[False]:.2f} s), "
            f"{wall:.2f}x wall ({wall_s[True]:.2f} s, {wall_s[False]:.2f} s)"
        )
        figures.append(Figure(f"cost of a machine, {name}", measured, f"<= {LIMIT}x CPU", cpu <= LIMIT))
    return figures

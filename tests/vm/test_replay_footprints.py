# SPDX-License-Identifier: Apache-2.0
"""A replayed process costs on a machine what its command's footprint says, and its threads have one together."""

from __future__ import annotations

import json

import pytest
from skipping import skip_or_fail
from trace_cases import trace

from benchmarks.machines import machine
from benchmarks.scaled_machine import at
from benchmarks.trace.program import program
from policy_lake.guest import GuestJob, GuestStep
from tasks.host.guest import Shape, prepare_guest
from tasks.host.settings import load_settings
from verifier_vm.machine.vm import run

pytestmark = pytest.mark.vm
WORKERS, TURNS = 8, 12


def recorded():
    """Eight processes that take turns on two CPUs, each with a thread that is named otherwise and soon ends."""
    rows = [*((0, "fork", 100, 0, n) for n in range(1, WORKERS + 1)), (0, "exit", 100, 0, 0)]
    for number in range(1, WORKERS + 1):
        rows += [(number, "name", 100, 0, 0), (number, "thread", 100, 0, WORKERS + number)]
        rows += [(number, "sleep", 800, 0, 50)] * TURNS + [(number, "exit", 100, 0, 0)]
    for number in range(WORKERS + 1, 2 * WORKERS + 1):
        rows += [(number, "name", 50, 0, 1), (number, "sleep", 50, 0, 100), (number, "exit", 50, 0, 0)]
    return trace(rows, names=("worker", "thread"), wall_us=500_000)


def replayed(footprints_kib):
    model = at(machine("laptop"), 2).model
    guest = prepare_guest(load_settings(), Shape(model.topology, costs=model.costs, machine="laptop"))
    if guest.machine.clock is None:
        skip_or_fail("no virtual clock here")
    step = GuestStep("run", ("replay", "p", "--footprint-kib", "2048"), "run", timeout_s=60.0)
    report = run(GuestJob({"p": program(recorded(), footprints_kib)}, (step,), 1), guest.machine)
    assert all(event.ok for event in report.events), report.events
    return float(json.loads(report.ran("run").out.splitlines()[-1])["makespan_ms"]), report.counts.paid


def test_its_cost_goes_with_the_footprint_of_its_command():
    small, paid = replayed({"top": 4, "worker": 4, "thread": 4})
    large, paid_more = replayed({"top": 2048, "worker": 2048, "thread": 4})
    assert paid_more.l2_ps > 20 * paid.l2_ps and large > 1.02 * small
    assert replayed({"top": 4, "worker": 4, "thread": 65536}) == (small, paid), (
        "a process has one working set, its leader's"
    )
    assert replayed({}) == (large, paid_more), "what is not known has what is told of all"

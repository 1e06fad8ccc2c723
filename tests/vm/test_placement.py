# SPDX-License-Identifier: Apache-2.0
"""Where a task runs, and for how long, wins or loses on the machine where that costs, and decides nothing elsewhere.

Both sides are one policy (programs/placement.bpf.c) with other settings, so that nothing else differs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from skipping import skip_or_fail

from benchmarks.machines import machine
from benchmarks.scaled_machine import at
from benchmarks.sequential import log_ratios, look
from bpf.build import compile_policy
from policy_lake.guest import GuestJob, GuestStep
from policy_lake.scores import Pair
from tasks.host.guest import Guest, Shape, prepare_guest
from tasks.host.settings import load_settings
from verifier_vm.machine.vm import run

pytestmark = pytest.mark.vm
POLICY = Path(__file__).parent / "programs/placement.bpf.c"


@dataclass(frozen=True, slots=True)
class Case:
    """Two settings of the policy, what runs, which of its figures counts (less is better), and where it matters."""

    better: tuple[str, ...]
    worse: tuple[str, ...]
    runs: str
    metric: str
    matters: tuple[str, int]
    not_there: tuple[str, int]
    least: float  # the ratio that the descriptor's costs make certain
    seeds: int = 5


CASES = {
    "tasks stay in their LLC": Case(
        ("a_queue=8", "slice_ns=1000000"), ("a_queue=64", "slice_ns=1000000"),
        "batch --jobs {twice} --short-work 200000 --long-factor 1 --footprint-kib 4096 --seed {seed}", "makespan_ms",
        ("server", 16), ("server", 8), 1.03, 10,
    ),
    "whole cores before threads": Case(
        ("order=1",), ("order=2",), "batch --jobs 3 --short-work 200000 --long-factor 1 --seed {seed}", "makespan_ms",
        ("desktop", 8), ("laptop", 8), 1.2,
    ),
    "few warm cores instead of all": Case(
        ("order=2",), ("order=3",),
        "wakeup --sleepers 2 --hogs-per-cpu 0 --wakeups 200 --think-us 2000 --work 500 --seed {seed}", "p50_us",
        ("server", 8), ("flat", 8), 2.0,
    ),
    "long slices": Case(
        ("slice_ns=20000000",), ("slice_ns=200000",),
        "batch --jobs 16 --short-work 40000 --long-factor 1 --footprint-kib 2048 --seed {seed}", "makespan_ms",
        ("laptop", 2), ("flat", 2), 1.03,
    ),
}  # fmt: skip


def guest_of(name: str, cpus: int) -> Guest:
    model = at(machine(name), cpus).model
    guest = prepare_guest(load_settings(), Shape(model.topology, costs=model.costs, machine=name))
    if guest.machine.clock is None:
        skip_or_fail("no virtual clock here")
    return guest


def figure(guest: Guest, data: bytes, words: tuple[str, ...], case: Case, seed: int) -> float:
    program = case.runs.format(seed=seed, twice=2 * guest.machine.cpus).split()
    steps = (
        GuestStep("attach", ("policy.bpf.o", *words), "attach-0"),
        GuestStep("run", tuple(program), "run", timeout_s=60.0),
        GuestStep("detach", (), "detach"),
    )
    report = run(GuestJob({"policy.bpf.o": data}, steps, seed), guest.machine)
    assert all(event.ok for event in report.events), report.events
    return float(json.loads(report.ran("run").out.splitlines()[-1])[case.metric])


def compared(where: tuple[str, int], case: Case) -> tuple[float, float, float]:
    """The anytime-valid 95 % interval of worse over better, and their mean ratio."""
    guest = guest_of(*where)
    data = compile_policy(POLICY.read_text(), name="placement", vmlinux_dir=guest.kernel.headers).data
    pairs = [
        Pair(figure(guest, data, case.worse, case, seed), figure(guest, data, case.better, case, seed), seed)
        for seed in range(1, case.seeds + 1)
    ]
    interval = look(log_ratios(pairs, lower_is_better=True))
    ratios = sorted(pair.baseline / pair.policy for pair in pairs)
    return interval.low, interval.high, ratios[len(ratios) // 2]


@pytest.mark.timeout(1200)  # hundreds of runs, of two guests at a time beside another file's
@pytest.mark.parametrize("name", CASES)
def test_it_surely_wins_where_it_costs_and_not_elsewhere(name):
    case = CASES[name]
    low, _, middle = compared(case.matters, case)
    assert low > 1, f"{case.matters}: {low}"
    assert middle > case.least
    low, _, elsewhere = compared(case.not_there, case)
    assert low <= 1 or elsewhere < 1.01, f"{case.not_there}: {low}, {elsewhere}"

# SPDX-License-Identifier: Apache-2.0
"""A machine to schedule on, in real guests: each term makes its own work longer, by what the descriptor says."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from skipping import skip_or_fail
from test_clock import sameness, spinning

from policy_lake.guest import ClockCounts, GuestJob, GuestStep
from policy_lake.machine_model import FLAT, TERMS, Costs, without
from policy_lake.topology import Topology
from tasks.host.guest import task_layout
from tasks.host.settings import load_settings
from verifier_vm.machine.model import Model
from verifier_vm.machine.qemu import Machine
from verifier_vm.machine.vm import run

pytestmark = pytest.mark.vm
PROGRAMS = Path(__file__).parent / "programs"
SHAPE = Topology(8, llcs=2, smt=2, nodes=2)  # CPUs 0 to 3 in one LLC and node, 0 and 1 in one core
COSTS = Costs(
    user_ps=250,
    kernel_ps=600,
    switch_ns=1500,
    l2_kib=1024,
    llc_kib=32768,
    llc_mbps=20_000,
    memory_mbps=8_000,
    remote_mbps=4_000,
    node_mbps=8_000,
    beyond_llc=512,
    smt=640,
    turbo=(1024, 820),
    idle_exit=((0, 0), (150, 25_000)),
    capacity=(1024,) * 4 + (700,) * 4,
)
KIB, MIB = 1 << 10, 1 << 20
WORK = 50_000_000
REQUESTS = "-m 4 -t 8 -s 1000 --runtime-ms 200 --seed 1"
ALONE_NS = WORK * COSTS.user_ps / 1000


def mbps(size: float, rate: int) -> float:
    """Nanoseconds for so many bytes."""
    return size / rate * 1000


# What runs, the term, and how much longer the descriptor says that it takes.
CASES = {
    "two threads in turn, 2000 switches": ("threads 1000 1000", "switch", 2000 * 1500),
    "two processes evict each other": ("processes 200 20000 1024", "l2", 400 * mbps(MIB, 20_000)),
    "moves within an LLC": ("moves 200 1000000 256 0 2", "l2", 200 * mbps(256 * KIB, 20_000)),
    "moves to another LLC and back": (
        "moves 800 1000000 256 0 4", "llc",  # many: the guest's ticks weigh a few hundred us, wherever they fall
        800 * (mbps(256 * KIB, 8_000) - mbps(256 * KIB, 20_000)),
    ),
    "every other move comes from far memory": (
        "moves 200 1000000 256 0 4", "node", 100 * (mbps(256 * KIB, 4_000) - mbps(256 * KIB, 8_000)),
    ),
    "a sibling is busy": (f"together 0 {WORK} 0 2 0 1", "smt", ALONE_NS * (1024 / 640 - 1)),
    "another core is busy": (f"together 0 {WORK} 0 2 0 2", "turbo", ALONE_NS * (1024 / 820 - 1)),
    "a slow CPU": (f"together 0 {WORK} 0 1 4", "capacity", ALONE_NS * (1024 / 700 - 1)),
    "half a working set beyond the LLC": (f"together 0 {WORK} 65536 1 0", "bandwidth", ALONE_NS * (2 - 1) / 2),
    "two want what memory delivers to one and a half": (  # of 128 MiB in all, three quarters are outside
        f"together 0 {WORK} 65536 2 0 2", "bandwidth",
        ALONE_NS * 1024 / 820 * 0.75 * (2 * 1.5 - 1),
    ),
    "naps": ("naps 200 300000 0", "idle", 200 * 25_000),
    "instructions of a program": (f"together 0 {WORK} 0 1 0", "speed", ALONE_NS - WORK),
}  # fmt: skip


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> bytes:
    out = tmp_path_factory.mktemp("machine") / "machine"
    flags = ("-O2", "-static", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror")
    subprocess.run(["gcc", *flags, "-o", out, PROGRAMS / "machine.c", "-lpthread"], check=True)
    return out.read_bytes()


@pytest.fixture(scope="module")
def machine(guest) -> Machine:
    if guest.machine.clock is None:
        skip_or_fail("no virtual clock here")
    return replace(guest.machine, topology=SHAPE)


@pytest.fixture(scope="module")
def took(guest, machine, program):
    """How long one of the works took under these costs, in ns, with what was paid."""

    def took(words: str, costs: Costs) -> tuple[int, ClockCounts]:
        model = Model(costs, task_layout(guest.kernel, load_settings().cache_dir))
        steps = (GuestStep("run", ("machine", *words.split()), timeout_s=60.0),)
        report = run(GuestJob({"machine": program}, steps), replace(machine, model=model))
        assert report.events[0].ok, report.events[0]
        assert report.counts
        return json.loads(report.events[0].out)["ns"], report.counts

    return took


def alone(term: str) -> Costs:
    """The machine with what does not bear on the term off: what is left is the term and what it is told in."""
    kept = {"node": ("node", "llc", "l2"), "llc": ("llc", "l2"), "bandwidth": ("bandwidth", "llc", "turbo", "l2")}
    return without(COSTS, *(other for other in TERMS if other not in (term, "speed", *kept.get(term, ()))))


@pytest.mark.parametrize("case", CASES)
def test_a_term_takes_what_the_descriptor_says_within_5_percent(took, case):
    words, term, wanted_ns = CASES[case]
    costs = alone(term)
    longer = took(words, costs)[0] - took(words, without(costs, term))[0]
    assert longer == pytest.approx(wanted_ns, rel=0.05)


def test_without_costs_the_digits_are_those_of_no_machine(guest, machine, program, took):
    words = "processes 50 20000 1024"
    job = GuestJob({"machine": program}, (GuestStep("run", ("machine", *words.split()), timeout_s=60.0),))
    plain = run(job, machine)
    ns, counts = took(words, FLAT)
    assert plain.counts
    assert (counts.fingerprint, counts.switch_hash) == (plain.counts.fingerprint, plain.counts.switch_hash)
    assert json.loads(plain.events[0].out)["ns"] == ns
    assert all(ps == 0 for name, ps in vars_of(counts).items() if name.endswith("_ps") and name != "busy_ps")


def vars_of(counts: ClockCounts) -> dict[str, int]:
    return {name: getattr(counts.paid, name) for name in type(counts.paid).__slots__}


def test_every_term_on_16_cpus_repeats_to_the_last_digit_on_a_busy_host(guest, machine, program):
    shape = Topology(16, llcs=4, smt=2, nodes=2)
    costs = replace(COSTS, capacity=(1024,) * 8 + (700,) * 8)
    model = Model(costs, task_layout(guest.kernel, load_settings().cache_dir))
    many = replace(machine, topology=shape, model=model)
    steps = (
        GuestStep("run", ("machine", "processes", "50", "20000", "1024"), timeout_s=60.0),
        GuestStep(
            "run",
            ("schbench", *["-m", "4", "-t", "8", "-s", "1000", "--runtime-ms", "200", "--seed", "1"]),
            timeout_s=60.0,
        ),
    )
    job = GuestJob({"machine": program}, steps, seed=5)
    quiet = run(job, many)
    with spinning(per_cpu=1):
        busy = run(job, many)
    assert sameness(busy) == sameness(quiet)
    assert busy.counts and quiet.counts and busy.counts.paid == quiet.counts.paid
    assert all(getattr(quiet.counts.paid, name) for name in ("l2_ps", "llc_ps", "remote_ps", "smt_ps", "turbo_ps"))

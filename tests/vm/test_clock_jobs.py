# SPDX-License-Identifier: Apache-2.0
"""The virtual clock with jobs that strain it: large ones, many CPUs on a busy host, and a clock that gives up."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from skipping import skip_or_fail

from policy_lake.errors import InfraError
from policy_lake.guest import ClockCounts, GuestJob, GuestStep
from policy_lake.topology import Topology
from verifier_vm.machine.clock import Stats
from verifier_vm.machine.vm import run

pytestmark = pytest.mark.vm
PROGRAMS = Path(__file__).parent / "programs"
BATCH = ("batch", "--jobs", "12", "--short-work", "20000", "--long-factor", "8")


def compiled(name, into):
    flags = ["-O2", "-static", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-pthread"]
    subprocess.run(["gcc", *flags, "-o", into / name, PROGRAMS / f"{name}.c"], check=True)
    return (into / name).read_bytes()


@pytest.fixture(scope="module")
def clock(tmp_path_factory):
    return compiled("clock", tmp_path_factory.mktemp("clock"))


@pytest.fixture(scope="module")
def machine_of():
    """The machine of a topology, with a virtual clock and started from a snapshot."""
    from tasks.host.guest import Shape, prepare_guest
    from tasks.host.settings import load_settings

    def machine(*counts):
        guest = prepare_guest(load_settings(), Shape(Topology(*counts)))
        if not guest.machine.clock:
            skip_or_fail(f"no virtual clock here: {guest.warning or guest.machine.accel}")
        return guest.machine

    return machine


def step(*args):
    return GuestStep("run", args, timeout_s=30.0)


def answers(report):
    assert all(event.ok for event in report.events), report.events
    return [json.loads(event.out.splitlines()[-1]) for event in report.events]


def identity(report):
    """What two runs that are one run have in common: every slot, every context switch, every word."""
    counts = report.counts
    assert counts.fallbacks == 0
    return counts.fingerprint, counts.slots, counts.switches, counts.switch_hash, [e.out for e in report.events]


@contextlib.contextmanager
def busy_host():
    """A process on each host core that takes what it can get, for 20 s at most."""
    code = "import time\nend = time.monotonic() + 20\nwhile time.monotonic() < end: pass"
    spins = [
        subprocess.Popen(["taskset", "-c", str(cpu), sys.executable, "-c", code]) for cpu in os.sched_getaffinity(0)
    ]
    try:
        yield
    finally:
        for spin in spins:
            spin.kill()
            spin.wait()


def test_eight_cpus_repeat_bit_by_bit_on_a_busy_host(machine_of, clock):
    machine = machine_of(8, 2, 2, 2)

    def job(seed):
        return GuestJob({"clock": clock}, (step(*BATCH), step("clock", "times", "8", "300")), seed=seed)

    quiet = run(job(7), machine)
    with busy_host():
        busy = run(job(7), machine)
    other = run(job(8), machine)
    assert quiet.counts.switches > 100
    assert identity(quiet) == identity(busy)
    assert other.counts.switch_hash != quiet.counts.switch_hash
    assert answers(other)[1]["backwards"] == 0


@pytest.mark.parametrize("cpus", [1, 2, 8])
def test_waits_are_late_by_a_quantum_and_the_kernels_path_at_most(machine_of, clock, cpus):
    report = run(GuestJob({"clock": clock}, (step("clock", "waits"),) * 2), machine_of(cpus))
    for answer in answers(report):
        assert all(0 <= late < 100_000 for late in answer["late_ns"]), answer


def test_two_cpus_are_two_cores_of_one_cache_and_one_node(machine_of, clock):
    answer = answers(run(GuestJob({"clock": clock}, (step("clock", "topology"),)), machine_of(2)))[0]
    lie = [{name: of[name] for name in ("threads", "package", "l3")} for of in answer["cpus"]]
    assert lie == [{"threads": str(cpu), "package": "0-1", "l3": "0-1"} for cpu in range(2)]
    assert answer["nodes"] == {"online": "0", "0": "0-1"}


def test_a_job_with_a_large_file_reaches_the_guest_and_repeats(machine_of, tmp_path):
    data = random.Random(1).randbytes(3 << 20)
    job = GuestJob({"probe": compiled("probe", tmp_path), "large": data}, (step("probe", "cat", "large"),))
    first, second = (run(job, machine_of(2)) for _ in range(2))
    want = 0
    for byte in data:
        want = (want * 31 + byte) % 2**64
    assert answers(first)[0] == {"size": len(data), "sum": want}
    assert identity(first) == identity(second)


def test_a_clock_that_gave_up_waiting_makes_no_score(machine_of, monkeypatch):
    monkeypatch.setattr(Stats, "read", lambda self: ClockCounts(1, 1.0, "0", 1, 1, "0", 0))
    with pytest.raises(InfraError, match="gave up waiting 1 times"):
        run(GuestJob({}, ()), machine_of(2))

# SPDX-License-Identifier: Apache-2.0
"""The virtual clock for real: time in the guest, runs that repeat bit by bit, and guests that mean no good."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import skip_or_fail
from leftovers import processes

from policy_lake.model import GuestJob, GuestStep, InfraError, LostVMError
from verifier_vm.topology import Topology
from verifier_vm.vm import run

pytestmark = pytest.mark.vm
PROGRAMS = Path(__file__).parent / "programs"
BATCH = ("batch", "--jobs", "12", "--short-work", "20000", "--long-factor", "8", "--seed", "1")


@pytest.fixture(scope="module")
def clock(tmp_path_factory):
    out = tmp_path_factory.mktemp("clock") / "clock"
    flags = ["-O2", "-static", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-pthread"]
    subprocess.run(["gcc", *flags, "-o", out, PROGRAMS / "clock.c"], check=True)
    return out.read_bytes()


@pytest.fixture(scope="module")
def machine_of():
    """The machine of a topology, with a virtual clock and started from a snapshot."""
    from tasks.guest import Shape, prepare_guest
    from tasks.settings import load_settings

    def machine(*counts, cold=False):
        guest = prepare_guest(load_settings(), Shape(Topology(*counts), cold=cold))
        if not guest.machine.clock:
            skip_or_fail(f"no virtual clock here: {guest.warning or guest.machine.accel}")
        return guest.machine

    return machine


def step(*args, timeout_s=30.0):
    return GuestStep("run", args, timeout_s=timeout_s)


def answers(report):
    assert all(event["ok"] for event in report.events), report.events
    return [json.loads(event["out"].splitlines()[-1]) for event in report.events]


def identity(report):
    """What two runs that are one run have in common: every slot, every context switch, every word."""
    counts = report.counts
    assert counts.fallbacks == 0
    return counts.fingerprint, counts.slots, counts.switches, counts.switch_hash, [e["out"] for e in report.events]


@contextlib.contextmanager
def busy_host():
    """A process on each host core that takes what it can get."""
    spins = [
        subprocess.Popen(
            [sys.executable, "-c", f"import os,time\nos.sched_setaffinity(0, {{{cpu}}})\nend=time.monotonic()+20\n"
             "while time.monotonic()<end: pass"]
        )  # fmt: skip
        for cpu in os.sched_getaffinity(0)
    ]
    try:
        yield
    finally:
        for spin in spins:
            spin.kill()
            spin.wait()


@pytest.mark.parametrize("cpus", [1, 2, 4, 8, 16])
def test_time_is_one_on_all_cpus_and_never_runs_backwards(machine_of, clock, cpus):
    report = run(GuestJob({"clock": clock}, (step("clock", "times", str(cpus), "2000"),)), machine_of(cpus))
    seen = answers(report)[0]
    assert (seen["cpus"], seen["backwards"]) == (cpus, 0)
    assert seen["turns"] == cpus * 100
    assert seen["least_span_ns"] >= 20_000_000
    # An RDTSC is a nanosecond, and so they agree but for the instructions between two readings.
    assert abs(seen["tsc_off_ns"]) < 10_000
    assert abs(seen["real_off_ns"]) < 10_000
    assert report.counts.fallbacks == 0
    assert seen["last_ns"] / 1e9 < report.counts.virtual_s + 60


@pytest.mark.parametrize("counts", [(2,), (8, 2, 2, 2)])
def test_a_run_repeats_bit_by_bit_whatever_the_host_does(machine_of, clock, counts):
    machine = machine_of(*counts)

    def job(seed):
        steps = (step(*BATCH), step("clock", "times", str(counts[0]), "300"), step("clock", "waits"))
        return GuestJob({"clock": clock}, steps, seed=seed)

    quiet = run(job(7), machine)
    again = run(job(7), machine)
    with busy_host():
        busy = run(job(7), machine)
    other = run(job(8), machine)
    assert quiet.counts.switches > 100
    assert identity(quiet) == identity(again)
    assert identity(quiet) == identity(busy)
    assert other.counts.switch_hash != quiet.counts.switch_hash
    assert other.counts.fingerprint != quiet.counts.fingerprint
    assert answers(other)[1]["backwards"] == 0


def test_idle_time_is_skipped(machine_of, clock):
    report = run(GuestJob({"clock": clock}, (step("clock", "sleep", "30", timeout_s=60),)), machine_of(2))
    assert report.seconds < 5
    assert report.events[0]["seconds"] >= 30
    assert 0 <= answers(report)[0]["late_ns"] < 1_000_000


def test_waits_end_at_their_virtual_deadlines(machine_of, clock):
    report = run(GuestJob({"clock": clock}, (step("clock", "waits"),)), machine_of(2))
    late = answers(report)[0]["late_ns"]
    assert len(late) == 10
    assert all(0 <= ns < 1_000_000 for ns in late), late


def test_a_program_that_spins_is_ended_at_its_limit_in_virtual_time(machine_of, clock):
    report = run(GuestJob({"clock": clock}, (step("clock", "spin", timeout_s=1.0),)), machine_of(2))
    event = report.events[0]
    assert (event["ok"], event["timed_out"], event["ended"]) == (False, True, True)
    assert 1.0 <= event["seconds"] < 1.5


@pytest.mark.parametrize(("how", "what"), [(1, "spins"), (2, "halts"), (3, "floods")])
def test_a_hostile_kernel_is_ended_at_the_host_deadline(machine_of, tmp_path, how, what):
    source, kernel = tmp_path / "hostile.o", tmp_path / f"hostile-{what}"
    subprocess.run(["gcc", "-m32", f"-DHOW={how}", "-c", "-o", source, PROGRAMS / "hostile.S"], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-Ttext=0x100000", "-o", kernel, source], check=True)
    machine = replace(machine_of(2), kernel=kernel, snapshots=None)
    start = time.monotonic()
    with pytest.raises(LostVMError, match="deadline") as lost:
        run(GuestJob({}, ()), machine, deadline_s=3)
    assert 2.9 < time.monotonic() - start < 3 + 8
    assert "hostile" in lost.value.console
    if what == "floods":
        assert "F" in lost.value.console, "its interrupts did not fire"
    assert not processes("qemu-system", str(kernel))


def cpus_of(first, last):
    return f"{first}-{last}" if first != last else str(first)


@pytest.mark.parametrize("counts", [(2,), (8, 2, 2, 2), (4, 1, 2), (4, 4)])
def test_the_guest_sees_the_topology_that_was_asked_for(machine_of, clock, counts):
    machine = machine_of(*counts)
    shape = machine.topology
    seen = answers(run(GuestJob({"clock": clock}, (step("clock", "topology"),)), machine))[0]

    def sharing(cpu, size):
        first = cpu // size * size
        return cpus_of(first, first + size - 1)

    assert seen["cpus"] == [
        {
            "threads": sharing(cpu, shape.smt),
            "package": sharing(cpu, shape.cpus // shape.llcs),
            "l3": sharing(cpu, shape.cpus // shape.llcs),
        }
        for cpu in range(shape.cpus)
    ]
    each = shape.cpus // shape.nodes
    assert seen["nodes"] == {
        "online": cpus_of(0, shape.nodes - 1),
        **{str(node): cpus_of(node * each, (node + 1) * each - 1) for node in range(shape.nodes)},
    }


def test_a_job_with_a_large_file_reaches_the_guest_and_repeats(machine_of, clock):
    data = bytes(range(251)) * (3 * (1 << 20) // 251)
    job = GuestJob({"clock": clock, "large": data}, (step("clock", "checksum", "large"),))
    first, second = (run(job, machine_of(2)) for _ in range(2))
    want = 0
    for byte in data:
        want = (want * 31 + byte) % 2**64
    assert answers(first)[0] == {"size": len(data), "sum": want}
    assert identity(first) == identity(second)


def test_a_cold_guest_and_a_warm_one_score_alike(machine_of):
    job = GuestJob({}, (step(*BATCH),))
    warm, cold = (answers(run(job, machine_of(2, cold=cold)))[0]["makespan_ms"] for cold in (False, True))
    assert cold == pytest.approx(warm, rel=0.01)


def test_two_at_once_take_one_snapshot_and_both_run(machine_of, tmp_path, caplog):
    machine = replace(machine_of(2), snapshots=tmp_path)
    caplog.set_level("INFO", logger="verifier_vm.snapshot")
    reports = []
    threads = [threading.Thread(target=lambda: reports.append(run(GuestJob({}, ()), machine))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(reports) == 2
    assert sum("booting a guest" in record.message for record in caplog.records) == 1
    assert len(list(tmp_path.glob("*/snapshot.json"))) == 1
    assert reports[0].counts.fingerprint == reports[1].counts.fingerprint


def flip(path, at=None):
    path.chmod(0o644)
    with path.open("r+b") as file:
        if at is None:
            at = os.lseek(file.fileno(), 0, os.SEEK_DATA) + 100
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 0x10]))


def truncate(path):
    path.chmod(0o644)
    os.truncate(path, path.stat().st_size // 2)


def test_a_damaged_snapshot_is_taken_anew_and_the_run_is_the_same(machine_of, tmp_path, caplog):
    machine = replace(machine_of(2), snapshots=tmp_path)
    job = GuestJob({}, (step(*BATCH),), seed=3)
    before = identity(run(job, machine))
    place = next(tmp_path.glob("*/snapshot.json")).parent
    for damage in (
        lambda: flip(place / "ram0"),
        lambda: truncate(place / "state"),
        lambda: (place / "snapshot.json").unlink(),
    ):
        caplog.clear()
        damage()
        caplog.set_level("INFO", logger="verifier_vm.snapshot")
        assert identity(run(job, machine)) == before
        assert any("booting a guest" in record.message for record in caplog.records)
    caplog.clear()
    assert identity(run(job, machine)) == before
    assert not caplog.records, "it is taken anew although nothing is the matter"


def test_a_process_killed_while_it_takes_a_snapshot_leaves_nothing_to_use(machine_of, tmp_path):
    machine = replace(machine_of(2), snapshots=tmp_path / "kept")
    code = (
        "import sys, pickle\nfrom policy_lake.model import GuestJob\nfrom verifier_vm.vm import run\n"
        "run(GuestJob({}, ()), pickle.loads(bytes.fromhex(sys.argv[1])))"
    )
    import pickle

    child = subprocess.Popen([sys.executable, "-c", code, pickle.dumps(machine).hex()])
    limit = time.monotonic() + 60
    while not list(machine.snapshots.glob("taking-*/made/state")) and time.monotonic() < limit and child.poll() is None:
        time.sleep(0.002)
    child.kill()
    child.wait()
    assert list(machine.snapshots.glob("taking-*")), "it was killed too late to prove anything"
    assert not list(machine.snapshots.glob("*/snapshot.json"))
    limit = time.monotonic() + 10
    while processes("qemu-system", str(tmp_path)) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not processes("qemu-system", str(tmp_path))
    assert run(GuestJob({}, ()), machine).counts.fallbacks == 0
    assert not list(machine.snapshots.glob("taking-*"))


def test_a_clock_that_gave_up_waiting_makes_no_score(machine_of, monkeypatch):
    from policy_lake.model import ClockCounts
    from verifier_vm.clock import Stats

    monkeypatch.setattr(Stats, "read", lambda self: ClockCounts(1, 1.0, "0", 1, 1, "0", 0))
    with pytest.raises(InfraError, match="gave up waiting 1 times"):
        run(GuestJob({}, ()), machine_of(2))

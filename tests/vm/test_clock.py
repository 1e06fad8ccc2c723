# SPDX-License-Identifier: Apache-2.0
"""The virtual clock, topologies and snapshots in real guests: what a guest sees, and that it sees the same again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from leftovers import processes
from skipping import skip_or_fail

from policy_lake.errors import InfraError, LostVMError
from policy_lake.guest import GuestJob, GuestReport, GuestStep
from policy_lake.topology import Topology
from verifier_vm.machine import clock
from verifier_vm.machine.process import GuestProcess, Origin
from verifier_vm.machine.qemu import SEEN_L2_KIB, SEEN_LLC_KIB, Machine, Memory
from verifier_vm.machine.vm import run

pytestmark = pytest.mark.vm
PROGRAMS = Path(__file__).parent / "programs"
BATCH = GuestStep("run", ("batch", "--jobs", "8", "--short-work", "20000"), timeout_s=30)


@pytest.fixture
def machine(guest) -> Machine:
    """A guest of the virtual clock, started from a snapshot."""
    if guest.machine.clock is None:
        skip_or_fail(f"no virtual clock here: {guest.warning or 'guests run under ' + guest.machine.accel}")
    return guest.machine


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> bytes:
    out = tmp_path_factory.mktemp("clock") / "clock"
    flags = ("-O2", "-static", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror")
    subprocess.run(["gcc", *flags, "-o", out, PROGRAMS / "clock.c", "-lpthread"], check=True)
    return out.read_bytes()


def step(*args, timeout_s=60.0) -> GuestStep:
    return GuestStep("run", ("clock", *map(str, args)), timeout_s=timeout_s)


def told(report: GuestReport, index: int = 0) -> dict:
    event = report.events[index]
    assert event.ok, event
    return json.loads(event.out)


def sameness(report: GuestReport) -> tuple:
    """All that a run with the same seed must have in common."""
    counts, events = report.counts, [(e.ok, e.out, e.seconds) for e in report.events]
    assert counts and counts.fallbacks == 0 and counts.switches > 0
    return counts.fingerprint, counts.switch_hash, counts.switches, counts.slots, counts.virtual_s, events


@pytest.mark.parametrize("cpus", [1, 2, 4, 8, 16])
def test_time_never_runs_backwards_on_any_cpu_and_its_clocks_agree(machine, program, cpus):
    machine = replace(machine, topology=Topology(cpus))
    seen = told(run(GuestJob({"clock": program}, (step("times", cpus, 2000),)), machine))
    assert (seen["cpus"], seen["turns"]) == (cpus, cpus * 100)
    assert seen["backwards"] == 0
    assert seen["least_span_ns"] > 20_000_000  # each CPU slept that long
    assert seen["tsc_off_ns"] < 10_000 and seen["real_off_ns"] < 10_000


@contextlib.contextmanager
def spinning(per_cpu: int) -> Iterator[None]:
    """That many processes on each host CPU, which leave none of it idle."""
    spin = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"
    cpus = [cpu for cpu in os.sched_getaffinity(0) for _ in range(per_cpu)]
    processes = [subprocess.Popen([sys.executable, "-c", spin, str(cpu)]) for cpu in cpus]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.fixture
def busy_host():
    with spinning(per_cpu=1):
        yield


def contend(program: bytes, seed: int) -> GuestJob:
    return GuestJob({"clock": program}, (step("times", 4, 300), BATCH), seed=seed)


@pytest.fixture(scope="module")
def quiet_run(guest, program) -> tuple:
    return sameness(run(contend(program, 7), replace(guest.machine, topology=Topology(4))))


REQUESTS = "-m 2 -t 4 -s 1000 -n 1 -F 256 --runtime-ms 3000 --seed 1"
SECONDS_OF_WORK = GuestJob({}, (GuestStep("run", ("schbench", *REQUESTS.split())),))


@pytest.fixture(scope="module")
def seconds_of_work(guest) -> tuple:
    return sameness(run(SECONDS_OF_WORK, guest.machine))


def test_the_same_seed_gives_the_same_run_to_the_last_switch(machine, program, quiet_run):
    assert sameness(run(contend(program, 7), replace(machine, topology=Topology(4)))) == quiet_run


def test_a_busy_host_changes_nothing(machine, program, quiet_run, busy_host):
    assert sameness(run(contend(program, 7), replace(machine, topology=Topology(4)))) == quiet_run


def test_a_busy_host_does_not_change_what_qemu_keeps_in_its_tlb(machine, seconds_of_work):
    """DAMON's thread in the guest sees which TLB entries QEMU dropped, which it once decided by the host's time."""
    with spinning(per_cpu=3):
        assert sameness(run(SECONDS_OF_WORK, machine)) == seconds_of_work


def test_another_seed_gives_another_run(machine, program, quiet_run):
    other = sameness(run(contend(program, 8), replace(machine, topology=Topology(4))))
    assert other[0] != quiet_run[0] and other[1] != quiet_run[1]


def test_idle_time_is_skipped(machine, program):
    run(GuestJob({}, ()), machine)  # takes the snapshot, if there is none
    start = time.monotonic()
    report = run(GuestJob({"clock": program}, (step("sleep", 30),)), machine)
    assert time.monotonic() - start < 5
    assert 0 <= told(report)["late_ns"] < 1_000_000
    assert 30 <= report.events[0].seconds < 30.2 and report.counts.virtual_s > 30


def test_sleeps_and_timers_end_when_they_should(machine, program):
    late = told(run(GuestJob({"clock": program}, (step("waits"),)), machine))["late_ns"]
    assert len(late) == 10 and min(late) >= 0 and max(late) < 1_000_000


def test_a_cpu_that_spins_keeps_step_with_one_that_works(machine, program):
    bursts = 10_000  # of 10 us
    pauses = told(run(GuestJob({"clock": program}, (step("step", bursts),)), machine))["pauses"]  # of 1 us
    assert 0.9 < pauses / (10 * bursts) < 1.1


def test_a_program_that_spins_is_ended_at_its_limit_in_virtual_time(machine, program):
    report = run(GuestJob({"clock": program}, (step("spin", timeout_s=0.4),)), machine)
    event = report.events[0]
    assert (event.ok, event.timed_out, event.ended) == (False, True, True)
    assert 0.4 <= event.seconds < 0.6


@pytest.mark.parametrize(("how", "last"), [(1, "hostile"), (2, "hostile"), (3, "F")], ids=["spins", "halts", "floods"])
@pytest.mark.parametrize("cpus", [1, 4])
def test_a_hostile_kernel_ends_at_the_hosts_deadline(machine, tmp_path, how, last, cpus):
    kernel = tmp_path / "hostile"
    link = ("-m32", "-nostdlib", "-static", "-Wl,-Ttext=0x100000,--build-id=none,-n")
    command = ["gcc", *link, f"-DHOW={how}", "-o", kernel, PROGRAMS / "hostile.S"]
    subprocess.run(command, check=True, capture_output=True)
    given = replace(machine, kernel=kernel, topology=Topology(cpus), snapshots=None)
    start = time.monotonic()
    with pytest.raises(LostVMError, match="deadline") as lost:
        run(GuestJob({}, ()), given, deadline_s=3)
    assert time.monotonic() - start < 3 + 7
    assert "hostile" in lost.value.console and last in lost.value.console  # it did come to that
    assert not processes("qemu-system", str(kernel))


@pytest.mark.parametrize(
    ("asked", "threads", "l3", "nodes"),
    [
        (Topology(8, llcs=2, smt=2, nodes=2), ["0-1", "2-3", "4-5", "6-7"], ["0-3", "4-7"], ["0-3", "4-7"]),
        (Topology(4, llcs=2), ["0", "1", "2", "3"], ["0-1", "2-3"], ["0-3"]),
        (Topology(4), ["0", "1", "2", "3"], ["0-3"], ["0-3"]),
    ],
    ids=str,
)
def test_the_guest_sees_the_topology_that_was_asked_for(machine, program, asked, threads, l3, nodes):
    seen = told(run(GuestJob({"clock": program}, (step("topology"),)), replace(machine, topology=asked)))
    cpus = seen["cpus"]
    assert len(cpus) == asked.cpus

    def each(groups: list[str]) -> list[str]:
        return [group for group in groups for _ in range(asked.cpus // len(groups))]

    assert [cpu["threads"] for cpu in cpus] == each(threads)
    assert [cpu["l3"] for cpu in cpus] == each(l3)
    # a score's report says so where the machine's are others
    sizes = {(cpu["l2_size"], cpu["l3_size"], cpu["capacity"]) for cpu in cpus}
    assert sizes == {(f"{SEEN_L2_KIB}K", f"{SEEN_LLC_KIB}K", "1024")}
    online = seen["nodes"].pop("online")
    assert online == ("0" if asked.nodes == 1 else f"0-{asked.nodes - 1}")
    assert list(seen["nodes"].values()) == nodes


def flip_memory(place: Path) -> None:
    with (place / "ram0").open("r+b") as file:
        at = os.lseek(file.fileno(), 1 << 20, os.SEEK_DATA)
        data = os.pread(file.fileno(), 16, at)
        os.pwrite(file.fileno(), bytes(byte ^ 0xFF for byte in data), at)


def shorten_state(place: Path) -> None:
    os.truncate(place / "state", (place / "state").stat().st_size // 2)


def remove_table(place: Path) -> None:
    (place / "snapshot.json").unlink()


def test_a_damaged_snapshot_is_taken_anew_and_gives_the_same_run(machine, program, tmp_path, caplog):
    machine = replace(machine, snapshots=tmp_path)
    job = GuestJob({"clock": program}, (step("times", 2, 100),), seed=3)
    caplog.set_level("INFO", "verifier_vm.machine.snapshot")
    want = sameness(run(job, machine))
    for damage in (flip_memory, shorten_state, remove_table):
        (place,) = (path for path in tmp_path.iterdir() if path.is_dir())
        before = (place / "ram0").stat().st_ino, (place / "ram0").stat().st_mtime_ns
        caplog.clear()
        damage(place)
        assert sameness(run(job, machine)) == want, damage.__name__
        assert "booting a guest" in caplog.text, damage.__name__
        assert ((place / "ram0").stat().st_ino, (place / "ram0").stat().st_mtime_ns) != before
    kept = [place.name, f"{place.name}.first", f"{place.name}.lock"]
    assert sorted(path.name for path in tmp_path.iterdir()) == kept


@pytest.mark.parametrize("cpus", [1, 2])
def test_a_guest_that_came_to_rest_is_the_same_wherever_the_host_saw_it_get_ready(machine, tmp_path, cpus):
    machine = replace(machine, topology=Topology(cpus), snapshots=None)
    seen = []
    for number in range(4):
        place = tmp_path / f"{number}"
        place.mkdir()
        with GuestProcess(machine, None, Origin(Memory(place, shared=True))) as guest:
            guest.await_ready(time.monotonic() + 120)
            guest.await_stillness(time.monotonic() + 60)
            rested = guest.counts()
            time.sleep(0.2)
            assert guest.counts() == rested
        seen.append((rested.fingerprint, rested.virtual_s))
    assert len(set(seen)) == 1


def test_a_guest_that_does_not_come_to_rest_is_no_snapshot(machine, tmp_path, monkeypatch):
    machine = replace(machine, snapshots=None)
    monkeypatch.setattr(clock.Stats, "awaits_host", lambda _: False)
    with GuestProcess(machine, None, Origin(Memory(tmp_path, shared=True))) as guest:
        guest.await_ready(time.monotonic() + 120)
        with pytest.raises(InfraError, match="did not come to rest"):
            guest.await_stillness(time.monotonic() + 0.1)


def test_two_at_once_take_one_snapshot_and_run_alike(machine, program, tmp_path, caplog):
    machine = replace(machine, snapshots=tmp_path)
    job = GuestJob({"clock": program}, (step("times", 2, 100),), seed=3)
    caplog.set_level("INFO", "verifier_vm.machine.snapshot")
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: sameness(run(job, machine)), range(2))
    assert first == second
    assert caplog.text.count("booting a guest") == 1
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 1


def test_a_killed_taker_leaves_nothing_that_is_used_later(machine, tmp_path):
    code = textwrap.dedent(f"""
        from pathlib import Path
        from policy_lake.guest import GuestJob
        from verifier_vm.machine.qemu import SEEN_L2_KIB, SEEN_LLC_KIB, Machine
        from verifier_vm.machine.vm import run
        machine = Machine(Path({str(machine.kernel)!r}), Path({str(machine.initrd)!r}),
                          clock=Path({str(machine.clock)!r}), snapshots=Path({str(tmp_path)!r}))
        run(GuestJob({{}}, ()), machine)
    """)
    child = subprocess.Popen([sys.executable, "-c", code])
    limit = time.monotonic() + 20
    while not list(tmp_path.glob("taking-*/made/ram0")) and time.monotonic() < limit:
        time.sleep(0.01)
    time.sleep(1.0)  # in the middle of its boot
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert list(tmp_path.glob("taking-*")), "it was over too soon to be killed"
    assert not list(tmp_path.glob("*/snapshot.json"))
    limit = time.monotonic() + 5
    while processes("qemu-system", str(tmp_path)) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not processes("qemu-system", str(tmp_path))
    report = run(GuestJob({}, ()), replace(machine, topology=Topology(2), snapshots=tmp_path))
    assert report.counts.switches > 0
    assert not list(tmp_path.glob("taking-*")), "what the killed one left stays for ever"


def test_places_of_any_name_will_do(machine, tmp_path):
    """The dynamic loader ends a name at a blank or a colon, QEMU an option at a comma."""
    place = tmp_path / "a stranger's: home, x=1"
    place.mkdir()
    odd = replace(machine, clock=clock.usable_clock(place), snapshots=place)
    assert odd.clock.parent.parent == place
    assert run(GuestJob({}, ()), odd).counts.switches > 0
    assert list(place.glob("*/ram0"))


def test_a_clock_that_is_not_loaded_first_is_refused(machine, tmp_path, monkeypatch):
    monkeypatch.setattr(clock, "preloading", lambda fd: ["env"])
    with pytest.raises(InfraError, match=r"^no virtual clock with this QEMU: .*not preloaded"):
        clock.usable_clock(tmp_path)


def test_a_cold_guest_scores_as_a_warm_one(machine):
    """One run differs by up to a tick of 4 ms, since a boot ends at another moment than a snapshot was taken.

    So the runs are long enough for a tick to be less than what they are held to, and nine are not alike.
    """
    words = ("--jobs", "8", "--short-work", "200000")
    batches = tuple(replace(BATCH, args=("batch", *words, "--seed", str(seed))) for seed in range(9))

    def makespans_ms(given: Machine) -> list[float]:
        events = run(GuestJob({}, batches, seed=1), given).events
        return [json.loads(event.out)["makespan_ms"] for event in events]

    cold, warm = makespans_ms(replace(machine, snapshots=None)), makespans_ms(machine)
    assert statistics.median(c / w for c, w in zip(cold, warm, strict=True)) == pytest.approx(1, rel=0.01)

# SPDX-License-Identifier: Apache-2.0
"""The micro-VM for real: jobs, deadlines, guests that die, and what is left when the host side is killed."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
from leftovers import any_runs, processes

from policy_lake.errors import InfraError, LostVMError
from policy_lake.events import Done, Hello, Ran
from policy_lake.guest import GuestJob, GuestStep
from verifier_vm.judge.console import kernel_death
from verifier_vm.machine.job import encode_job
from verifier_vm.machine.vm import run

pytestmark = pytest.mark.vm
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
    out = tmp_path_factory.mktemp("probe") / "probe"
    source = HERE / "programs" / "probe.c"
    subprocess.run(["gcc", "-O2", "-static", "-D_GNU_SOURCE", "-Wall", "-o", out, source], check=True)
    return out.read_bytes()


def step(*args, timeout_s=20.0, label=""):
    return GuestStep("run", ("probe", *args), label, timeout_s=timeout_s)


def test_files_arrive_whole_and_outputs_come_back_in_order(guest, probe):
    noise = random.Random(1).randbytes(3_000_001)
    want = 0
    for byte in noise:
        want = (want * 31 + byte) % 2**64
    events = []
    job = GuestJob(
        {"probe": probe, "noise.bin": noise},
        (
            step("cat", "noise.bin", label="a"),
            step("args", 'q"uo\\te', "", "Grüße", label="b"),
            step("spew", label="c"),
        ),
    )
    report = run(job, guest.machine, on_event=events.append)
    first, second, third = report.events
    assert json.loads(first.out) == {"size": 3_000_001, "sum": want}
    assert second.out.splitlines()[:2] == ['<q"uo\\te>', "<>"]
    assert third.ok and len(third.out) == 1 << 20 and third.dropped > 0
    assert [e.label for e in report.events] == ["a", "b", "c"]
    assert [type(e) for e in events] == [Hello, Ran, Ran, Ran, Done]
    assert "sched_ext" not in report.console or report.kernel in guest.kernel.release


def test_the_job_ends_at_the_first_step_that_fails(guest, probe):
    report = run(GuestJob({"probe": probe}, (step("orphans"), step("exit", "7"), step("args"))), guest.machine)
    assert [(e.ok, e.exit) for e in report.events] == [(True, 0), (False, 7)]
    assert report.events[0].ended, "the orphans outlived their step"


def test_a_program_that_hangs_is_ended_at_its_limit(guest, probe):
    report = run(GuestJob({"probe": probe}, (step("hang", timeout_s=1.0),)), guest.machine)
    event = report.events[0]
    assert (event.ok, event.timed_out, event.ended) == (False, True, True)
    assert 0.9 < event.seconds < 15


def test_a_guest_that_freezes_is_ended_at_the_host_deadline(guest, probe):
    start = time.monotonic()
    with pytest.raises(LostVMError, match="deadline"):
        run(GuestJob({"probe": probe}, (step("freeze"),)), guest.machine, deadline_s=30)
    assert time.monotonic() - start < 45
    assert not processes("qemu-system", str(guest.machine.initrd))


def test_a_panic_is_told_from_a_loss(guest, probe):
    with pytest.raises(LostVMError) as lost:
        run(GuestJob({"probe": probe}, (step("panic"),)), guest.machine)
    assert "Kernel panic" in (kernel_death(lost.value.console) or "") or "sysrq" in lost.value.console.lower()
    assert "Kernel panic" in str(lost.value)


def test_a_missing_kernel_is_an_infrastructure_error_in_one_line(guest, tmp_path):
    with pytest.raises(InfraError) as error:
        run(GuestJob({}, ()), replace(guest.machine, kernel=tmp_path / "none"), deadline_s=20)
    assert "\n" not in str(error.value)
    assert "none" in str(error.value)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_when_the_host_side_ends(guest, probe, how, tmp_path):
    code = textwrap.dedent(f"""
        import signal
        from pathlib import Path
        from policy_lake.guest import GuestJob, GuestStep
        from verifier_vm.machine.qemu import Machine
        from verifier_vm.machine.vm import run
        machine = Machine(Path({str(guest.machine.kernel)!r}), Path({str(guest.machine.initrd)!r}), memory_mib=300)
        files = {{"probe": Path({str(tmp_path / "probe")!r}).read_bytes()}}
        job = GuestJob(files, (GuestStep("run", ("probe", "hang"), timeout_s=600),))
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which a suite in the background has ignored
        run(job, machine, on_event=lambda e: print(e, flush=True))
    """)
    (tmp_path / "probe").write_bytes(probe)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"TMPDIR": str(scratch), "PATH": "/usr/bin:/bin"},
    )
    assert b"Hello" in child.stdout.readline()
    mine = processes("qemu-system", "-m 300")
    assert mine
    child.send_signal(how)
    try:
        child.wait(20)
    finally:
        child.kill()
    assert not any_runs(mine, 10)
    assert not list(scratch.iterdir())


def test_a_job_that_cannot_be_told_to_the_guest_is_refused():
    with pytest.raises(InfraError, match=r"\.\./x"):
        encode_job(GuestJob({"../x": b""}, ()))
    with pytest.raises(InfraError, match="tab or newline"):
        encode_job(GuestJob({}, (GuestStep("run", ("a\tb",)),)))

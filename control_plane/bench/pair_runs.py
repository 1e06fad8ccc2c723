# SPDX-License-Identifier: Apache-2.0
"""One pair of the score's runs, again and again, on a quiet host and on a busy one."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.measurement import measure
from benchmarks.rounds import Rounds
from benchmarks.scoring import Contender, score_steps
from bpf.build import compile_policy
from bpf.library import policy
from control_plane.bench.fidelity import KNOBS
from control_plane.bench.timed import DEADLINE_S, guest_of
from policy_lake.errors import InfraError
from policy_lake.guest import ClockCounts, GuestJob
from policy_lake.model import Clock, Rejection
from tasks.host.guest import Guest
from tasks.host.settings import load_settings
from tasks.host.workloads import find_workload
from verifier_vm.judge.gate import OBJECT
from verifier_vm.machine.qemu import Machine
from verifier_vm.machine.vm import run

POLICY, WORKLOAD, SEED = "ljf", "batch", 1
PATIENCE_S = 180.0  # for the scores of one clock; when they take longer there are FEWER
FEWER = 5


@dataclass(frozen=True, slots=True)
class PairRun:
    """One pair in one guest: both makespans, the least that arithmetic allows, and what the clock counted."""

    eevdf_ms: float
    policy_ms: float
    bound_ms: float
    counts: ClockCounts | None

    @property
    def trace(self) -> str:
        """What is equal in equal runs: the hashes of all context switches and of all slots, with their times."""
        return f"{self.counts.switch_hash} {self.counts.fingerprint}" if self.counts else ""


@contextmanager
def busy_host() -> Iterator[list[int]]:
    """Two processes that never sleep, which keep two host CPUs busy; gives their ids."""
    command = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-c", "while True: pass"]
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(2):
            processes.append(subprocess.Popen(command))
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def score_job(guest: Guest, seed: int) -> GuestJob:
    """A warm-up and one pair as every score has them; `seed` is the guest's, the workload's is always the same."""
    ljf = policy(POLICY)
    data = compile_policy(ljf.source, name=ljf.id, vmlinux_dir=guest.kernel.headers).data
    knobs = KNOBS[POLICY, WORKLOAD]
    workload, accel = find_workload(WORKLOAD, load_settings()), guest.machine.accel
    steps = score_steps(workload, Rounds(1), seed=SEED, accel=accel, policy=Contender(OBJECT, tuple(knobs)))
    return GuestJob({OBJECT: data}, steps, seed)


def score_once(job: GuestJob, machine: Machine) -> PairRun:
    """One guest, one pair; InfraError when the policy was rejected, for then there is nothing to compare."""
    workload = find_workload(WORKLOAD, load_settings())
    report = run(job, machine, deadline_s=DEADLINE_S)
    measured = measure(workload, report.events, Rounds(1))
    if isinstance(measured, Rejection):
        raise InfraError(f"{POLICY} was rejected: {measured.reason}")
    (eevdf,), (ours,) = measured["baseline"], measured["policy"]
    metric, bound = workload.metric, workload.bound
    return PairRun(eevdf[metric], ours[metric], min(eevdf[bound], ours[bound]), report.counts)


def repeated_scores(clock: Clock, count: int) -> list[PairRun]:
    """`count` scores on a busy host, or FEWER when all of them would take longer than we wait."""
    guest = guest_of(clock)
    job = score_job(guest, seed=SEED)
    if guest.machine.snapshots:
        run(GuestJob({}, ()), guest.machine)  # takes the snapshot, if there is none, while the host is quiet
    done: list[PairRun] = []
    with busy_host():
        start = time.monotonic()
        while len(done) < count:
            done.append(score_once(job, guest.machine))
            if len(done) == FEWER and (time.monotonic() - start) / FEWER * count > PATIENCE_S:
                break
    return done

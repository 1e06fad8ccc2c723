# SPDX-License-Identifier: Apache-2.0
"""Observe: run a workload once under the kernel's own scheduler with the probe watching, and read what it saw."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from benchmarks.attachment import check_nothing_attached
from benchmarks.comm import comm_printed
from benchmarks.descriptor import REPLAY
from benchmarks.output import last_line
from benchmarks.profile_jobs import name_key, read_jobs
from benchmarks.profile_text import describe
from benchmarks.schbench import result_of
from benchmarks.workloads import Accel, Workload, arguments, job_files, program_of
from policy_lake.errors import InfraError, InputError
from policy_lake.events import Ran
from policy_lake.guest import GuestJob, GuestReport, GuestStep
from policy_lake.limits import TRACE_CPUS
from policy_lake.printed import last_object, number, take
from policy_lake.profile import Aim, CommandProfile, JobProfile, Reached, WorkloadProfile
from policy_lake.show import shortened

PROBE = "observe"
LABEL = "observe"
MAKESPAN = "makespan_ms"  # as the replayer prints it
# Histogram bucket i holds the times from 2^i to 2^(i+1) us; the first also those below 1 us.
_BUCKETS = 64


def profile_job(workload: Workload, *, seed: int, accel: Accel, user_ps: int = 0) -> GuestJob:
    """The guest job that runs `workload` once under the probe, with no policy attached."""
    program = f"{'/job' if workload.binary else '/bin'}/{program_of(workload)}"
    args = (PROBE, program, *arguments(workload, seed=seed, accel=accel, user_ps=user_ps))
    step = GuestStep("run", args, label=LABEL, timeout_s=workload.timeout_s)
    return GuestJob(files=dict(job_files(workload)), steps=(step,))


def read_profile(workload: Workload, report: GuestReport) -> WorkloadProfile:
    """The profile in the report of `profile_job`; its id is derived from what the probe reported.

    Raises InputError if the workload's own program failed, InfraError naming the field if the report says too little.
    """
    where = f"workload '{workload.id}', step '{LABEL}'"
    run = report.ran(LABEL)
    check_nothing_attached(run, where=where)
    _check_run(run, where)
    probed = last_object(run.out, where=where)
    if status := take(probed, "exit", int, where=where):
        raise InputError(f"{where}: {workload.program} exited with {status}: {last_line(run.err)}")
    wall_s = number(probed, "wall_ns", where=where, zero=False) / 1e9
    cpus = take(probed, "cpus", int, where=where)
    rows = take(probed, "commands", list[Any], where=where)
    unsorted = [_command(row, f"{where}, command {index}") for index, row in enumerate(rows)]
    jobs = read_jobs(take(probed, "jobs", list[Any], where=where), where)
    if workload.trace:
        unsorted, jobs = _without_replayer(unsorted, jobs)
    commands = tuple(sorted(unsorted, key=lambda command: -command.cpu_ms))
    cpu_s = sum(command.cpu_ms for command in commands) / 1e3
    if not 1 <= cpus <= TRACE_CPUS:
        raise InfraError(f"{where}: field 'cpus' must be from 1 to {TRACE_CPUS}, not {shortened(cpus, 40)}")
    if cpu_s <= 0:
        raise InfraError(f"{where}: field 'commands' shows no CPU time at all")
    result = result_of(workload, take(probed, "out", str, where=where), run.err, where=f"workload '{workload.id}'")
    digest = hashlib.sha256(json.dumps(probed, sort_keys=True).encode()).hexdigest()
    return WorkloadProfile(
        id=f"{workload.id}-{digest[:12]}",
        workload=workload.id,
        cpus=cpus,
        wall_s=wall_s,
        cpu_s=cpu_s,
        parallelism=cpu_s / wall_s,
        wakeups_per_s=sum(command.wakeups for command in commands) / wall_s,
        commands=commands,
        goal=workload.goal,
        text=describe(workload, commands, cpus=cpus, wall_s=wall_s, result=result),
        clock=report.clock,
        tier=workload.tier,
        aim=aim_of(workload),
        jobs=jobs,
        reached=_reached(workload, result),
    )


def _reached(workload: Workload, result: Mapping[str, Any]) -> Reached:
    where = f"workload '{workload.id}', output of {workload.program}"
    value = number(result, workload.metric, where=where, error=InputError)
    bound = number(result, workload.bound, where=where, error=InputError) if workload.bound else None
    replayed = number(result, MAKESPAN, where=where, error=InputError) if workload.trace else None
    return Reached(workload.metric, workload.unit, value, bound, replayed)


def _without_replayer(
    commands: list[CommandProfile], jobs: tuple[JobProfile, ...]
) -> tuple[list[CommandProfile], tuple[JobProfile, ...]]:
    """What the recorded command did, without the one process that replays it and is none of the user's.

    A recorded command that is called the same has tasks beside that one: then the two cannot be told apart.
    """
    if not any(command.comm == REPLAY and command.tasks == 1 for command in commands):
        return commands, jobs
    key = name_key(REPLAY)
    kept = [command for command in commands if command.comm != REPLAY]
    return kept, tuple(job for job in jobs if (job.by, job.key) != ("name", key))


def aim_of(workload: Workload) -> Aim:
    """What its metric asks for: by its direction, then by whether arithmetic bounds it, which only makespans are."""
    if workload.direction == "higher":
        return "throughput"
    return "makespan" if workload.bound else "latency"


def percentile(counts: list[int], share: float) -> float:
    """The value in us below which `share` of a log2 histogram lies; 0 for an empty one.

    Geometric interpolation inside the bucket: a share f of the way through the bucket from 2^i is 2^(i+f) us, as if its
    members were spread evenly over the logarithm, which is all that a log2 histogram knows.
    """
    total = sum(counts)
    rank, below = share * total, 0
    for index, count in enumerate(counts):
        if count and below + count >= rank:
            return float(2 ** (index + (rank - below) / count))
        below += count
    return 0.0


def _check_run(run: Ran, where: str) -> None:
    if run.timed_out:
        raise InfraError(f"{where}: did not end in time (after {run.seconds:.0f} s)")
    if run.signal:
        raise InfraError(f"{where}: the probe was ended by signal {run.signal}")
    if run.exit and not run.out.strip():
        raise InfraError(f"{where}: the probe exited with {run.exit}: {last_line(run.err)}")


def _command(row: Any, where: str) -> CommandProfile:
    if not isinstance(row, Mapping):
        raise InfraError(f"{where}: is not an object but {row!r:.60}")
    bursts, waits = _histogram(row, "burst_log2_us", where), _histogram(row, "wait_log2_us", where)
    return CommandProfile(
        comm=comm_printed(take(row, "comm", str, where=where)),
        tasks=int(number(row, "tasks", where=where)),
        cpu_ms=number(row, "cpu_ns", where=where) / 1e6,
        cpu_ms_max_task=number(row, "cpu_ns_max_task", where=where) / 1e6,
        wait_ms=number(row, "wait_ns", where=where) / 1e6,
        sleep_ms=number(row, "sleep_ns", where=where) / 1e6,
        wakeups=int(number(row, "wakeups", where=where)),
        switches=int(number(row, "switches", where=where)),
        burst_us_p50=percentile(bursts, 0.5),
        burst_us_p99=percentile(bursts, 0.99),
        wait_us_p50=percentile(waits, 0.5),
        wait_us_p99=percentile(waits, 0.99),
    )


def _histogram(row: Mapping[str, Any], name: str, where: str) -> list[int]:
    counts: list[Any] = take(row, name, list[Any], where=where)
    if len(counts) > _BUCKETS or not all(type(count) is int and 0 <= count < 2**64 for count in counts):
        raise InfraError(f"{where}: field '{name}' must be a list of at most {_BUCKETS} counts")
    return counts

# SPDX-License-Identifier: Apache-2.0
"""Traced runs, one under the baseline and one under the policy: who ran where, event by event.

Tracing costs time, so they are not the measured runs. By the virtual clock they are as much a function of their inputs,
start from the same snapshots, and are kept under them.
"""

from __future__ import annotations

import contextlib
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.output import failure_of
from benchmarks.scoring import BASELINE, pair_seed
from benchmarks.timeline import Timeline, read_timeline
from benchmarks.workloads import Workload
from policy_lake.errors import InfraError
from policy_lake.events import Ran
from policy_lake.files import atomic_write
from tasks.host.guest import Guest, Shape, prepare_guest
from tasks.host.settings import Settings
from tasks.trial.run import LABEL, run_inputs, run_once
from tasks.trial.spec import Loadable, RunWork

KEPT = 64  # files, some 20 KiB each
LARGEST = 64 << 20  # bytes of one run's events


def trace_runs(
    workload: Workload, policy: Loadable, shape: Shape, settings: Settings, *, seed: int
) -> dict[str, Timeline]:
    """The timelines of both, with the first pair's seed; InfraError if one of the runs does not end well."""
    guest, first = prepare_guest(settings, shape), pair_seed(seed, 0)
    works = [RunWork(workload, shape, settings, under, first, first, traced=True) for under in (None, policy)]
    with ThreadPoolExecutor(settings.slots(guest.host_cpus), thread_name_prefix="traced") as slots:
        baseline, under_policy = slots.map(lambda work: _timeline(work, guest), works)
    return {BASELINE: baseline, beside_baseline(policy.name): under_policy}


def beside_baseline(policy: str) -> str:
    """A policy's name where EEVDF's runs stand beside it: the library has a policy with the baseline's own name."""
    return f"{policy} (sched_ext)" if policy == BASELINE else policy


def _timeline(work: RunWork, guest: Guest) -> Timeline:
    where = work.policy.name if work.policy else BASELINE
    if guest.machine.clock is None:
        return read_timeline(_run(work, guest), where=where)
    place = work.settings.cache_dir / "timelines" / f"{run_inputs(work, guest).key}.z"
    kept = _read(place)
    if kept is not None:
        return read_timeline(kept, where=where)
    output = _run(work, guest)
    timeline = read_timeline(output, where=where)
    atomic_write(place, zlib.compress(output.encode()))
    _prune(place.parent)
    return timeline


def _run(work: RunWork, guest: Guest) -> str:
    event = run_once(work, guest).ran(LABEL[work.policy is not None])
    if not event.ok:
        raise InfraError(f"a traced run of {work.workload.id} did not end well: {_last_line(event)}")
    return event.out


def _last_line(event: Ran) -> str:
    if event.timed_out:
        return f"it {failure_of(event)}"
    lines = (event.err or event.out).strip().splitlines()
    return lines[-1][:200] if lines else "it said nothing"


def _read(place: Path) -> str | None:
    """None when it is absent or damaged: then the run is made again."""
    try:
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(place.read_bytes(), LARGEST).decode()
        return text if unpacker.eof else None
    except (OSError, ValueError, zlib.error):
        return None


def _prune(directory: Path) -> None:
    ages: dict[Path, float] = {}
    for path in directory.glob("*.z"):
        with contextlib.suppress(OSError):  # another process may have removed it
            ages[path] = path.stat().st_mtime
    for old in sorted(ages, key=lambda path: ages[path])[:-KEPT]:
        old.unlink(missing_ok=True)

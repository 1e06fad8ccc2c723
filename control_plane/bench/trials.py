# SPDX-License-Identifier: Apache-2.0
"""How many candidates a minute get a score of five seeds: runs from snapshots, beside interleaved pairs in one guest.

`python -m control_plane.bench.trials`. Both ways take turns in one process on the same slots, in virtual time, for
candidates that were verified before; interleaved pairs are how all scores were taken until runs became pure functions.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from bpf.library import policy
from control_plane.bench.figures import Figure, main
from policy_lake.model import Candidate, Rejection
from policy_lake.scores import MeasurementPlan
from tasks.host.guest import Guest, prepare_guest, shape_for
from tasks.host.settings import load_settings
from tasks.host.workloads import find_workload
from tasks.plan import candidate_of
from tasks.trial.build import loadable
from tasks.trial.drive import MemoryStore, drive
from tasks.trial.local import LocalSlots
from tasks.trial.spec import Loadable, PairsWork, TrialSpec, Work
from tasks.trial.trial import baseline_runs, floor_runs, measured
from tasks.trial.work import Done, Result, measure_rounds

CANDIDATES, SEEDS, TURNS = 6, 5, 3
TARGET = 2.0


def throughput_figures() -> Iterator[Figure]:
    """Candidates a minute both ways, medians of alternating turns, and their ratio."""
    settings = load_settings()
    workload = find_workload("batch", settings)
    shape = shape_for(settings, workload)
    guest = prepare_guest(settings, shape)
    slots = settings.slots(guest.host_cpus)
    spec = TrialSpec(_candidate(0), workload, shape, settings, MeasurementPlan(SEEDS, 0, 1))
    rates: dict[str, list[float]] = {"interleaved": [], "runs": []}
    store = MemoryStore()
    with LocalSlots[Work, Done](slots) as warm:
        list(drive([_shared(spec)], warm, store))
    for turn in range(TURNS):
        policies = [_loadable(turn * CANDIDATES + number, guest) for number in range(CANDIDATES)]
        rates["interleaved"].append(_rate(partial(_interleaved, spec, policies, slots), CANDIDATES))
        rates["runs"].append(_rate(partial(_by_runs, spec, policies, guest, store, slots), CANDIDATES))
    before, now = (statistics.median(rates[way]) for way in ("interleaved", "runs"))
    spread = ", ".join(f"{rate:.1f}" for rate in rates["runs"])
    yield Figure("candidates a minute, interleaved", f"{before:.1f} on {slots} slots", "none", True, required=False)
    yield Figure("candidates a minute, runs from snapshots", f"{now:.1f} ({spread})", "none", True, required=False)
    ratio = now / before
    yield Figure("5-seed scores of batch, as many times", f"{ratio:.2f}x", f">= {TARGET:g}x", ratio >= TARGET)


def alone_figures() -> Iterator[Figure]:
    """One candidate by itself, as `schedcp score` has it: all its seeds at once, or in one guest."""
    settings = load_settings()
    workload = find_workload("batch", settings)
    shape = shape_for(settings, workload)
    guest = prepare_guest(settings, shape)
    slots = settings.slots(guest.host_cpus)
    spec = TrialSpec(_candidate(0), workload, shape, settings, MeasurementPlan(SEEDS, 0, 1))
    store = MemoryStore()
    with LocalSlots[Work, Done](slots) as warm:
        list(drive([_shared(spec)], warm, store))
    ratios = []
    for turn in range(TURNS):
        policies = [_loadable(1000 + turn, guest)]
        before = _rate(partial(_interleaved, spec, policies, slots), 1)
        ratios.append(_rate(partial(_by_runs, spec, policies, guest, store, slots), 1) / before)
    ratio = statistics.median(ratios)
    yield Figure("5-seed score of one candidate alone", f"{ratio:.2f}x as fast", f">= {TARGET:g}x", ratio >= TARGET)


def _candidate(number: int) -> Candidate:
    return candidate_of(policy("fifo"), {"slice_ns": 5_000_000 + 1000 * number})


def _loadable(number: int, guest: Guest) -> Loadable:
    return loadable(_candidate(number), guest)


def _shared(spec: TrialSpec) -> Generator[Sequence[Work], Sequence[Result], None]:
    yield (*baseline_runs(spec, 0, SEEDS), *floor_runs(spec))


def _rate(work: Callable[[], None], candidates: int) -> float:
    start = time.monotonic()
    work()
    return 60 * candidates / (time.monotonic() - start)


def _interleaved(spec: TrialSpec, policies: Sequence[Loadable], slots: int) -> None:
    work = PairsWork(spec.workload, spec.shape, spec.settings, None, None, spec.plan.seed, 0, SEEDS)
    with ThreadPoolExecutor(slots) as pool:
        for rounds in pool.map(measure_rounds, [replace(work, policy=policy) for policy in policies]):
            if isinstance(rounds.measured, Rejection):
                raise OSError(rounds.measured.reason)


def _by_runs(spec: TrialSpec, policies: Sequence[Loadable], guest: Guest, store: MemoryStore, slots: int) -> None:
    with LocalSlots[Work, Done](slots) as pool:
        for outcome in drive([measured(spec, policy, None, guest) for policy in policies], pool, store):
            if outcome.value is None or isinstance(outcome.value, Rejection):
                raise OSError(str(outcome.failure or outcome.value))


if __name__ == "__main__":
    sys.exit(main("trials", {"alone": alone_figures, "throughput": throughput_figures}))

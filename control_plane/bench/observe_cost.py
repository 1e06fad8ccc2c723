# SPDX-License-Identifier: Apache-2.0
"""`python -m control_plane.bench.observe_cost`: what observing costs, the same load with and without it.

The load's own CPU time is compared, not its wall time, which on a shared machine is others' to make. Runs with and
without alternate, and what is told is the median of the pairs' differences.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from control_plane.bench import figures
from control_plane.bench.figures import Figure
from policy_lake.observed import Histograms
from tasks.observing import scope as scopes
from tasks.observing.counters import CounterTier
from tasks.observing.probe import Backend, Watched, watched
from tasks.observing.started import HeldCommand

LOADS = {
    "hackbench": ("hackbench", "-g", "2", "-l", "300", "-p"),
    "pipe": ("perf", "bench", "sched", "pipe", "-l", "40000"),
}
PAIRS, LOOK_S = 7, 0.1
RATE = 50_000  # switches a s and CPU, at which a probe may take 1 %
MOST_SHARE = 0.01
On = Callable[[scopes.Scope], AbstractContextManager[Watched | None]]


@contextmanager
def _nothing(scope: scopes.Scope) -> Iterator[None]:
    yield None


@contextmanager
def _counters(scope: scopes.Scope) -> Iterator[None]:
    tier = CounterTier(scope)
    yield None
    tier.look()


def _probe(backend: Backend, *, everyone: bool) -> On:
    def on(scope: scopes.Scope) -> AbstractContextManager[Watched | None]:
        whole = scopes.of_host() if everyone else scope
        return watched(whole, Path(tempfile.gettempdir()) / "schedcp-observe-cost", backend=backend, most_share=1.0)

    return on


def _once(words: tuple[str, ...], on: On) -> tuple[float, Histograms | None]:
    """The CPU time in s that the load took, with its children's, and what the probe saw."""
    command = HeldCommand(words, silent=True)
    with on(scopes.of_command(words, command.pid)) as probe:
        command.let_go()
        while not command.ended():
            if probe is not None:
                probe.costs_too_much()  # so that its cost is measured as little as when one observes
            time.sleep(LOOK_S)
        usage = os.wait4(command.pid, 0)[2]
        return usage.ru_utime + usage.ru_stime, probe.histograms() if probe is not None else None


def _figures(load: str, name: str, on: On, required: bool) -> Iterator[Figure]:
    words, added, shares, own = LOADS[load], [], [], []
    switches, lost, rate = 0, 0, 0.0
    for number in range(PAIRS):
        order = (on, _nothing) if number % 2 else (_nothing, on)
        taken = {one: _once(words, one) for one in order}
        (with_s, seen), (without_s, _) = taken[on], taken[_nothing]
        added.append(with_s - without_s)
        shares.append((with_s - without_s) / without_s)
        if seen is not None:
            own.append(seen.cost.ns_per_event)
            switches, lost = seen.switches, lost + seen.lost_tasks + seen.lost_pairs + seen.lost_events
            rate = seen.switches / max(1e-9, seen.run_s)
    share = statistics.median(shares)
    spread = f"{min(shares):+.1%} to {max(shares):+.1%}"
    yield Figure(f"{load}, {name}: CPU time", f"{share:+.2%} ({spread}) of {PAIRS} pairs", "none", True, required=False)
    if switches:
        ns = statistics.median(added) * 1e9 / switches
        at_rate = ns * RATE / 1e9
        yield Figure(
            f"{load}, {name}: at {RATE} switches/s",
            f"{at_rate:.2%} ({ns:.0f} ns a switch by CPU time, {statistics.median(own):.0f} ns an event by bpf_stats; "
            f"the load itself has {rate:.0f} a s and CPU; {lost} lost)",
            f"<= {MOST_SHARE:.0%}", at_rate <= MOST_SHARE, required=required,
        )  # fmt: skip


def known() -> dict[str, Callable[[], Iterator[Figure]]]:
    """By name: each load with each way to observe it."""
    ways: dict[str, tuple[On, bool]] = {
        "counters": (_counters, False), "core": (_probe("core", everyone=False), True),
        "core-host": (_probe("core", everyone=True), False), "bcc": (_probe("bcc", everyone=False), False),
    }  # fmt: skip
    return {
        f"{load}-{name}": lambda load=load, name=name, on=on, required=required: _figures(load, name, on, required)  # type: ignore[misc]
        for load in LOADS
        for name, (on, required) in ways.items()
    }


if __name__ == "__main__":
    sys.exit(figures.main("observe_cost", known()))

# SPDX-License-Identifier: Apache-2.0
"""Tier `histograms`: the probe put on, watched for what it costs, taken off, and what it counted."""

from __future__ import annotations

import contextlib
import mmap
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, Protocol

from policy_lake.errors import InfraError, SchedcpError
from policy_lake.host_cpus import CPUS, SYS, last_level, numbers_of, text_of
from policy_lake.observed import Histograms, ProbeCost
from tasks.observing import kernel_maps, layout
from tasks.observing.bcc_probe import BccProbe
from tasks.observing.core_probe import BTF, CoreProbe
from tasks.observing.cost import CostMeter
from tasks.observing.scope import Scope

Backend = Literal["core", "bcc"]
PROC = Path("/proc")
ZERO = bytes(4)


class Probe(Protocol):
    """A loaded probe, by whichever backend."""

    @property
    def backend(self) -> Backend: ...

    def map_fd(self, name: str) -> int: ...
    def program_fds(self) -> list[int]: ...
    def attach(self, clock_cpu: int) -> None: ...
    def detach(self) -> None: ...
    def close(self) -> None: ...


class Watched:
    """A probe that counts for a scope. `costs_too_much()` is to be asked often; `histograms()` ends it."""

    def __init__(self, probe: Probe, scope: Scope, *, most_share: float) -> None:
        self._probe = probe
        self._cpus = os.cpu_count() or 1
        self._memory = mmap.mmap(self._map("options"), mmap.PAGESIZE)
        self._describe_cpus()
        probe.attach(min(os.sched_getaffinity(0)))
        # Tasks that ran or were ready at first: their CPU time by then, and in the end, since; ns.
        self._ready: dict[int, int] = {}
        self._seed(scope)
        self._began = time.monotonic()
        self._options(scope, on=True)
        self._ready = {task: _run_ns(task) for task in self._ready}  # telling it of thousands takes a while
        self._ended: float | None = None
        self._cost = CostMeter(probe.program_fds(), cpus=self._cpus, most_share=most_share, now=self._began)
        self.taken_off = False

    def costs_too_much(self) -> bool:
        """Whether it had to be taken off, or was before: its share of all CPUs over a second was too large."""
        if self._ended is not None:
            return self.taken_off
        if self._cost.too_much(time.monotonic()):
            self.taken_off = True
            self.end()
        return self.taken_off

    def end(self) -> None:
        """Count no more, and detach. May be called again."""
        if self._ended is None:
            self._options(None, on=False)
            self._ended = time.monotonic()
            # At once: to detach takes a while, and they go on.
            self._ready = {task: max(0, _run_ns(task) - before) for task, before in self._ready.items()}
            self._cost.stop(self._ended)
            self._left_out = self._cost.left_out
            self._probe.detach()

    def histograms(self) -> Histograms:
        """What it counted, from when it was on to when it was off."""
        self.end()
        assert self._ended is not None
        seconds = self._ended - self._began
        sums = layout.read_counts(
            kernel_maps.lookup(self._map("counts"), ZERO, layout.COUNTS_BYTES * kernel_maps.possible_cpus())
        )
        tasks = layout.read_tasks(kernel_maps.array(self._map("tasks"), layout.TASKS, layout.TASK_BYTES))
        found = kernel_maps.pairs_of(self._map("pairs"), layout.PAIR.size, layout.PAIR_COUNTS.size, layout.PAIRS)
        spent = self._cost
        cost = ProbeCost(self._probe.backend, spent.runs, spent.ns / spent.runs if spent.runs else 0.0, spent.share,
                         spent.seconds, self.taken_off)  # fmt: skip
        of, still = sums.of, self._still_running(tasks)
        return Histograms(
            seconds, self._cpus, cost, of["switches"], of["voluntary"], of["wakeups"], of["redundant"], of["born"],
            of["ended"],
            (of["run_ns"] + still) / 1e9, of["sleep_ns"] / 1e9, of["delay_ns"] / 1e9, of["delay_idle_ns"] / 1e9,
            sums.bursts, sums.delays, sums.idle_ms, sums.lives, sums.fans, sums.runnable, sums.migrations, sums.wakes,
            layout.read_pairs(found, tasks), of["missed"], of["lost_tasks"], of["lost_pairs"], self._left_out,
        )  # fmt: skip

    def _still_running(self, tasks: Iterable[layout.TaskEntry]) -> int:
        """ns of turns that had not ended when the probe was taken off: at most one a CPU, the one that began last.

        Whether a task that was ready at first, and had no turn since, ran or waited all the time, its schedstat tells.
        """
        assert self._ended is not None
        began: dict[int, int] = {}
        found = 0
        for task in tasks:
            if task.state == layout.RUNNING and task.cpu is not None:
                began[task.cpu] = max(task.since_ns, began.get(task.cpu, 0))
            elif task.state == layout.RUNNING:
                found += self._ready.get(task.pid, 0)
        return found + sum(max(0, int(self._ended * 1e9) - since_ns) for since_ns in began.values())

    def _map(self, name: str) -> int:
        return self._probe.map_fd(name)

    def _options(self, scope: Scope | None, *, on: bool) -> None:
        everyone, since_ns = int(scope.everyone) if scope else 0, time.monotonic_ns() if on else 0
        layout.OPTIONS.pack_into(self._memory, 0, everyone, 0, since_ns)

    def _describe_cpus(self) -> None:
        cores: dict[str, int] = {}
        llcs: dict[str, int] = {}
        node_of = {
            cpu: int(at.name.removeprefix("node"))
            for at in (SYS / "devices/system/node").glob("node[0-9]*")
            for cpu in numbers_of(text_of(at / "cpulist") or "")
        }
        for cpu in range(min(kernel_maps.possible_cpus(), layout.CPUS)):
            core = text_of(SYS / CPUS / f"cpu{cpu}/topology/thread_siblings_list") or str(cpu)
            number = cores.setdefault(core, len(cores))
            cache = llcs.setdefault(last_level(SYS, cpu), len(llcs))
            value = layout.CPU.pack(number, cache, node_of.get(cpu, 0), 0)
            kernel_maps.update(self._map("cpus"), cpu.to_bytes(4, "little"), value)

    def _seed(self, scope: Scope) -> None:
        """Tell it of the tasks that are there already. It does not count yet, so nobody else writes."""
        now_ns, table = time.monotonic_ns(), self._map("tasks")
        for task, name, runs in _tasks(scope.processes()):
            if runs:
                self._ready[task] = 0
            key = (task % layout.TASKS).to_bytes(4, "little")
            kernel_maps.update(table, key, layout.seed(task, name, runs=runs, now_ns=now_ns))
        kernel_maps.update(self._map("shared"), ZERO, layout.SHARED.pack(0, len(self._ready), 0, 0))


@contextlib.contextmanager
def watched(scope: Scope, cache_dir: Path, *, backend: Backend | None, most_share: float) -> Iterator[Watched]:
    """The probe on a scope, by `backend` or what this kernel has; off when this is left. InfraError if it cannot be."""
    with contextlib.ExitStack() as open_:
        try:
            probe = _load(backend, cache_dir)
            open_.callback(probe.close)
            found = Watched(probe, scope, most_share=most_share)
        except OSError as error:
            raise InfraError(f"the kernel refuses the probe: {error.strerror or error}") from None
        open_.callback(found.end)
        visit_cpus()
        yield found


def visit_cpus() -> None:
    """Have each CPU that this thread may use switch once: only from a switch does the probe know that one idles."""
    allowed = os.sched_getaffinity(0)
    try:
        for cpu in allowed:
            os.sched_setaffinity(0, {cpu})
    finally:
        os.sched_setaffinity(0, allowed)


def by_bcc(backend: Backend | None) -> bool:
    """Whether BCC is asked for, or the only one that this kernel leaves."""
    return backend == "bcc" or (backend is None and not BTF.exists())


def _load(backend: Backend | None, cache_dir: Path) -> Probe:
    if by_bcc(backend):
        return BccProbe()
    if not BTF.exists():
        raise InfraError(f"{BTF} is not there: this kernel has no BTF (--backend bcc needs none)")
    try:
        return CoreProbe(cache_dir)
    except SchedcpError as error:  # without clang or libbpf
        if backend == "core":
            raise
        with contextlib.suppress(InfraError):
            return BccProbe()
        raise error


def _tasks(processes: Iterable[int]) -> Iterator[tuple[int, bytes, bool]]:
    """(id, name, whether it runs or is ready) of each task of these processes."""
    for process in processes:
        with contextlib.suppress(OSError):
            for at in (PROC / str(process) / "task").iterdir():
                with contextlib.suppress(OSError, IndexError):
                    head, _, rest = (at / "stat").read_bytes().rpartition(b") ")
                    yield int(at.name), head.partition(b" (")[2], rest[:1] == b"R"


def _run_ns(task: int) -> int:
    """A task's CPU time, ns; 0 where it has ended."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int((PROC / str(task) / "schedstat").read_bytes().split()[0])
    return 0

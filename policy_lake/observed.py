# SPDX-License-Identifier: Apache-2.0
"""What was seen of tasks that run on a host: each feature with its unit, None where the host could not tell it."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Literal

ScopeKind = Literal["host", "pid", "cgroup", "service", "container", "command"]
ObserverTier = Literal["counters", "histograms", "trace"]
TIERS: tuple[ObserverTier, ...] = ("counters", "histograms", "trace")
# Why a tier was asked for, or the next one was not.
Reason = Literal[
    "first", "chosen", "delay-unsplit", "no-schedstat", "tasks-unseen", "idle", "no-delay", "answered", "few-events",
    "events-lost", "probe-cost", "no-probe", "too-short",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Missing:
    """A feature that this host does not tell: `why`, and what mends it, a command where there is one."""

    what: str
    why: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One tier: whether it was `taken`, and the code of why or why not."""

    tier: ObserverTier
    taken: bool
    reason: Reason


@dataclass(frozen=True, slots=True)
class HostLoad:
    """The whole host meanwhile, in shares of the time: PSI (`some`: a task waited for a CPU), CPUs busy or stolen.

    `turn_delay_us` and `local_wakes` (wake-ups on the CPU of the waker) are from /proc/schedstat.
    """

    cpus: int
    busy_share: float
    stolen_share: float
    switches_per_s: float
    psi_cpu_some: float | None = None
    psi_cpu_full: float | None = None
    turn_delay_us: float | None = None
    local_wakes: float | None = None


@dataclass(frozen=True, slots=True)
class CgroupLoad:
    """cpu.stat's growth: CPU time in s, periods of its quota and those in which it was throttled, and for how long."""

    path: str
    version: Literal["v1", "v2"]
    usage_s: float | None
    periods: int
    throttled: int
    throttled_s: float


@dataclass(frozen=True, slots=True)
class CommandLoad:
    """Tasks of one name: how many there were, their CPU time and their waiting for a CPU in s, and turns on one."""

    name: str
    tasks: int
    run_s: float
    wait_s: float
    turns: int


@dataclass(frozen=True, slots=True)
class TaskLoad:
    """All tasks that were asked for, by their own schedstat; `unread`: tasks beyond the limit, which no sum has."""

    tasks: int
    run_s: float
    wait_s: float
    turns: int
    unread: int = 0
    commands: tuple[CommandLoad, ...] = ()

    @property
    def wait_share(self) -> float:
        """Of the time in which they ran or wanted to, that in which they waited for a CPU."""
        return self.wait_s / (self.run_s + self.wait_s) if self.run_s + self.wait_s else 0.0


@dataclass(frozen=True, slots=True)
class Counters:
    """Tier `counters`: what the kernel counts anyway; no probe."""

    seconds: float
    host: HostLoad
    tasks: TaskLoad | None = None
    cgroups: tuple[CgroupLoad, ...] = ()

    @property
    def unseen_s(self) -> float:
        """CPU time that the control group has and its tasks have not: of those that came and went between two looks."""
        used_s = max((group.usage_s or 0.0 for group in self.cgroups), default=0.0)
        return max(0.0, used_s - (self.tasks.run_s if self.tasks is not None else 0.0))


@dataclass(frozen=True, slots=True)
class Histogram:
    """Bucket i counts 2^i to 2^(i+1) us, bucket 0 all below 2 us; `sums_ms` adds up what is in each, if it is known."""

    counts: tuple[int, ...]
    sums_ms: tuple[float, ...] = ()

    @property
    def total(self) -> int:
        return sum(self.counts)

    def bucket(self, share: float) -> int | None:
        """In which bucket the quantile `share` is; None where nothing was counted."""
        wanted, seen = share * self.total, 0
        for place, count in enumerate(self.counts):
            seen += count
            if count and seen >= wanted:
                return place
        return None

    def upper_us(self, share: float) -> int | None:
        """The upper end of that bucket, us: the quantile is at most this."""
        place = self.bucket(share)
        return None if place is None else 2 ** (place + 1)

    def above(self, us: int) -> tuple[int, float]:
        """How many are in the buckets from `us` (a power of two) on, and what they add up to, ms."""
        first = us.bit_length() - 1
        return sum(self.counts[first:]), sum(self.sums_ms[first:])


@dataclass(frozen=True, slots=True)
class WakePair:
    """Tasks named `waker` woke tasks named `wakee`; in `pongs` of them the waker had been woken by that very task."""

    waker: str
    wakee: str
    wakes: int
    pongs: int


@dataclass(frozen=True, slots=True)
class Apart:
    """A count by how far apart two CPUs are."""

    same_cpu: int = 0
    same_core: int = 0
    same_llc: int = 0
    same_node: int = 0
    other_node: int = 0

    @property
    def total(self) -> int:
        return sum(astuple(self))


@dataclass(frozen=True, slots=True)
class ProbeCost:
    """What the probe took by bpf_stats: ns an event, its share of all CPUs; for `seconds`, in which it met `events`."""

    backend: Literal["core", "bcc"]
    events: int
    ns_per_event: float
    cpu_share: float
    seconds: float
    taken_off: bool


@dataclass(frozen=True, slots=True)
class Histograms:
    """Tier `histograms`: added up by a probe in the kernel over `seconds`.

    bursts: CPU time from a wake-up to the next sleep. delays: from runnable to running, `idle_ms` that part of each
    bucket during which some CPU was idle. lives: CPU time of tasks that began and ended meanwhile. `fans[i]`: bursts
    that woke 2^(i-1) to 2^i - 1 others, i = 0 none. `runnable[n]`: ms in which n tasks ran or were ready, the last for
    as many or more. `lost_*` are not in any sum (events: the kernel left the probe out, as it does for a CPU whose task
    was preempted in bpf(2)); `missed`: turns whose wake-up was not seen.
    """

    seconds: float
    cpus: int
    cost: ProbeCost
    switches: int
    voluntary: int
    wakeups: int
    redundant: int
    born: int
    ended: int
    run_s: float
    sleep_s: float
    delay_s: float
    delay_idle_s: float
    bursts: Histogram
    delays: Histogram
    idle_ms: tuple[float, ...]
    lives: Histogram
    fans: tuple[int, ...]
    runnable: tuple[int, ...]
    migrations: Apart
    wakes: Apart
    pairs: tuple[WakePair, ...] = ()
    missed: int = 0
    lost_tasks: int = 0
    lost_pairs: int = 0
    lost_events: int = 0

    @property
    def voluntary_share(self) -> float | None:
        return self.voluntary / self.switches if self.switches else None

    @property
    def idle_share(self) -> float | None:
        """Of all run delay, that during which some CPU was idle: what a scheduler gave away."""
        return self.delay_idle_s / self.delay_s if self.delay_s else None

    @property
    def sleep_share(self) -> float | None:
        """Of the time that tasks slept or ran, that in which they slept."""
        return self.sleep_s / (self.sleep_s + self.run_s) if self.sleep_s + self.run_s else None

    @property
    def lost_share(self) -> float:
        lost = self.lost_tasks + self.missed + self.lost_events
        return lost / (self.switches + lost) if lost else 0.0


@dataclass(frozen=True, slots=True)
class Observed:
    """An observation: of what, for how long, by which steps, and what each tier came to."""

    kind: ScopeKind
    name: str
    resolved: str
    kernel: str
    seconds: float
    steps: tuple[Step, ...]
    counters: Counters
    histograms: Histograms | None = None
    missing: tuple[Missing, ...] = ()
    interrupted: bool = False
    status: int | None = None

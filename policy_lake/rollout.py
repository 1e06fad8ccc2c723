# SPDX-License-Identifier: Apache-2.0
"""A rollout's words: its plan (steps, metrics, windows), what was seen on hosts, and what was made of it.

Plain frozen data. The plan is what a TOML file says (tasks/rollout/plan_file.py); the rest is kept as evidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

Arm = Literal["policy", "baseline"]
StepKind = Literal["shadow", "partial", "full"]
HostCount = Literal["one", "some", "all"]
Better = Literal["lower", "higher"]


class Decision(StrEnum):
    """What a judge makes of the windows so far; `GO_ON` asks for more of them."""

    PROMOTE = "promote"
    ROLL_BACK = "roll_back"
    INCONCLUSIVE = "inconclusive"
    GO_ON = "go_on"


class Why(StrEnum):
    """Why a decision came out as it did."""

    BETTER = "better"  # every goal surely better, every other metric surely within its limit
    WITHIN = "within"  # no goal was set, and every metric is surely within its limit
    HARM = "harm"  # a critical metric is surely beyond its limit
    BEYOND = "beyond"  # one that is not critical is: a person decides
    WINDOWS = "windows"  # as many as there may be, and not sure
    SILENT = "silent"  # a metric was missing from more windows than not
    MORE = "more"  # not sure yet


class Unfit(StrEnum):
    """Why a window counts for nothing."""

    ATTACHED = "attached"  # the kernel had something else attached than the arm says, at its begin or its end
    REPLACED = "replaced"  # the same was attached at both ends, and something else in between
    SHORT = "short"  # cut off before its time


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of the workload or the host. `worst` is the largest factor by which it may be worse than under the
    host's own scheduler, at least 1. A `critical` one that surely is ends the rollout; a `goal` must surely be better.

    `least` is what a window's value counts as at least, so that counts which may be 0 have a ratio; 0: none.
    """

    name: str
    better: Better = "lower"
    worst: float = 1.05
    critical: bool = False
    goal: bool = False
    least: float = 0.0


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `shadow` loads, verifies and unloads; `partial` takes `cgroups` alone; `full` the whole host.

    `pause` asks a person before it begins. `blocks` is how many pairs of windows it may take.
    """

    name: str
    kind: StepKind
    hosts: HostCount = "one"
    cgroups: tuple[str, ...] = ()
    pause: bool = False
    blocks: int = 20


@dataclass(frozen=True, slots=True)
class RolloutPlan:
    """A rollout: its steps in order, what is watched, and how.

    A window lasts `window_s`, of which the first `settle_s` after a change are not measured. `alpha` is the chance, in
    all its looks at all metrics of a step together, that something is called sure which is not so. `share` is how much
    of the hosts `some` are.
    """

    id: str
    steps: tuple[Step, ...]
    metrics: tuple[Metric, ...]
    window_s: float = 20.0
    settle_s: float = 2.0
    alpha: float = 0.05
    share: float = 0.34


@dataclass(frozen=True, slots=True)
class Attached:
    """What /sys/kernel/sched_ext says at one moment: `enabled` with whose ops, or nothing; `enable_seq` counts."""

    enabled: bool
    ops: str = ""
    enable_seq: int = 0


@dataclass(frozen=True, slots=True)
class Window:
    """One window on one host: which arm it was meant for, what the kernel said at both ends, what was measured.

    `block` joins a policy's window with the baseline's that it is compared with; `seconds` is how long it was measured.
    `counters` is by how much each of the policy's own (its variables `nr_…`) grew meanwhile; a baseline has none.
    """

    host: str
    block: int
    arm: Arm
    begin: Attached
    end: Attached
    seconds: float
    values: Mapping[str, float] = field(default_factory=dict)
    counters: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reading:
    """One metric so far: by which factor it is worse under the policy (below 1: better), with an interval at any time.

    The interval is of the geometric mean over `blocks`; `high` is None, for no limit, where they are too few. `host` is
    empty for all of them together.
    """

    metric: str
    blocks: int
    missing: int
    factor: float
    low: float
    high: float | None
    host: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the windows of a step come to: the decision, why, on which metric and host, and every reading.

    `host` is where one host's windows alone decided.
    """

    decision: Decision
    why: Why
    metric: str = ""
    host: str = ""
    readings: tuple[Reading, ...] = ()
    unfit: int = 0


class End(StrEnum):
    """How a rollout ended."""

    PROMOTED = "promoted"  # through every step; on the last one's hosts for good, if those are more than a canary
    ROLLED_BACK = "rolled_back"  # a metric, a breaker or the kernel took it back
    REFUSED = "refused"  # a host's agent did not take it
    STOPPED = "stopped"  # a person said so
    LOST = "lost"  # a host no longer answers, and by its lease the policy has gone there


@dataclass(frozen=True, slots=True)
class StepDone:
    """One step as it went: on which hosts, and what was made of its windows."""

    step: str
    hosts: tuple[str, ...]
    judgement: Judgement | None = None


@dataclass(frozen=True, slots=True)
class RolloutDone:
    """A rollout as it ended: `at` is the step, `host` and `why` what ended it where that is one host's."""

    end: End
    steps: tuple[StepDone, ...]
    at: str = ""
    host: str = ""
    why: str = ""

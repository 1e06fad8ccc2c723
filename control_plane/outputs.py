# SPDX-License-Identifier: Apache-2.0
"""What other commands print with `--json`, as records: not verify, score (results.py) and token (token_outputs.py)."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.descriptor import Direction, Family, Footprint, Guard, Kind, WorkloadSize
from benchmarks.replay_fidelity import Nearness
from policy_lake.model import Knob, Origin, Policy
from policy_lake.records import Record, Run
from policy_lake.scores import Outcome, Ratio


@dataclass(frozen=True, slots=True)
class UpOutput:
    """The resident process that keeps Prefect's server and Ray; `started`: by this command, not before it."""

    pid: int
    started: bool


@dataclass(frozen=True, slots=True)
class DownOutput:
    """The resident process that was ended; none: there was none."""

    pid: int | None


@dataclass(frozen=True, slots=True)
class CleanedPath:
    """What was removed, with its bytes on disk."""

    path: str
    bytes: int


@dataclass(frozen=True, slots=True)
class KeptPath:
    """What was not removed, and why."""

    path: str
    bytes: int
    why: str


@dataclass(frozen=True, slots=True)
class CleanOutput:
    """What was removed, or would have been in a dry run; `bytes` is the sum. `all`: the lake and the keys, too."""

    dry_run: bool
    all: bool
    bytes: int
    removed: tuple[CleanedPath, ...]
    kept: tuple[KeptPath, ...]


@dataclass(frozen=True, slots=True)
class ErrorOutput:
    """In place of a command's own output: what is wrong, in one line, and the exit status.

    `code` says which refusal it is, where that has one (tokens).
    """

    error: str
    exit_status: int
    code: str = ""


@dataclass(frozen=True, slots=True)
class CheckedPart:
    """One line of `doctor`: `mend` is what to do when it is not ok, a command or a variable and what it must be."""

    name: str
    ok: bool
    detail: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class DoctorOutput:
    ok: bool
    findings: tuple[CheckedPart, ...]


@dataclass(frozen=True, slots=True)
class PolicyRecord:
    """The best that a policy came to on a workload with so many CPUs, in this lake."""

    workload: str
    cpus: int
    size: str
    ratio: Ratio
    outcome: Outcome
    score: str


@dataclass(frozen=True, slots=True)
class ListedPolicy:
    """A policy without its source."""

    id: str
    title: str
    summary: str
    good_for: str
    weak_at: str
    knobs: tuple[Knob, ...]
    workloads: tuple[str, ...]
    origin: Origin
    mechanisms: tuple[tuple[str, str], ...]
    records: tuple[PolicyRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class PoliciesOutput:
    policies: tuple[ListedPolicy, ...]


@dataclass(frozen=True, slots=True)
class RunsOutput:
    """The latest run first."""

    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class ReportOutput:
    """The first page, and what the pages hold; `unpaged` runs are in the list alone."""

    html: str
    runs: int
    unpaged: int
    policies: int
    rollouts: int
    pages: int
    bytes: int


@dataclass(frozen=True, slots=True)
class RankedPolicyOutput:
    """`relevance` is above 0, and 1 where both meaning and words rank it first."""

    relevance: float
    policy: Policy


@dataclass(frozen=True, slots=True)
class LakeSearchOutput:
    """The nearest policy first."""

    policies: tuple[RankedPolicyOutput, ...]


@dataclass(frozen=True, slots=True)
class ShownEntry:
    """`data` is the record of table `kind`."""

    kind: str
    id: str
    data: Record


@dataclass(frozen=True, slots=True)
class LakeShowOutput:
    """Everything under one id."""

    entries: tuple[ShownEntry, ...]


@dataclass(frozen=True, slots=True)
class LakeRebuildOutput:
    """Rows by table."""

    rows: dict[str, int]


@dataclass(frozen=True, slots=True)
class WorkloadOutput:
    """A workload as it would be run; `runs_s` are seconds of one run by size, `work` its numbers by table.

    `footprints`: what the commands of its trace work on, in KiB, and by whose word; null in the list of all.
    `kind` is what a recording is of, null of what is none.
    """

    id: str
    title: str
    family: Family
    goal: str
    program: str
    args: tuple[str, ...]
    metric: str
    unit: str
    direction: Direction
    bound: str | None
    cpus: int
    timeout_s: float
    tiers: tuple[WorkloadSize, ...]
    runs_s: dict[WorkloadSize, float]
    work: dict[str, dict[str, int]]
    trace: str | None
    file: str
    guards: tuple[Guard, ...]
    footprints: tuple[Footprint, ...] | None = None
    kind: Kind | None = None


@dataclass(frozen=True, slots=True)
class WorkloadsOutput:
    workloads: tuple[WorkloadOutput, ...]


@dataclass(frozen=True, slots=True)
class RecordOutput:
    """A trace that was written. Times in ms, shares of the CPUs from 0 to 1, `commands` the CPU ms by command.

    `footprints_kib`: what a process of a command works on, as far as the kernel told (its peak resident memory).
    """

    file: str
    bytes: int
    status: int
    command: str
    tasks: int
    operations: int
    cpus: int
    makespan_ms: float
    cpu_ms: float
    wakeups: int
    others_share: float
    stolen_share: float
    kernel: str
    commands: dict[str, float]
    footprints_kib: dict[str, int]


@dataclass(frozen=True, slots=True)
class ReplayedCommand:
    """CPU time in ms and shares of all in per cent."""

    name: str
    original_ms: float
    replay_ms: float
    original_share: float
    replay_share: float


@dataclass(frozen=True, slots=True)
class FidelityOutput:
    """A replay beside the run that was recorded; pairs are (original, replay), errors relative and signed.

    `verdict` is `unknown` where others had so much of the CPUs that the recording cannot tell. `looks` is how many of
    its sleeps were looks of a wait with a time limit, and not replayed.
    """

    file: str
    command: str
    cpus: int
    close: bool
    original_ms: float
    replay_ms: float
    bound_ms: float
    makespan_error: float
    quiet_ms: float | None
    quiet_error: float
    share_error_points: float
    worst_share: str
    lost_share: float
    wakeups: tuple[int, int]
    commands: tuple[ReplayedCommand, ...]
    delays_us: dict[str, tuple[float, float]]
    verdict: Nearness
    looks: int

# SPDX-License-Identifier: Apache-2.0
"""What the tools answer: records whose JSON schemas a client is shown. Other people's texts in them are `Quoted`."""

from __future__ import annotations

from typing import Literal

from benchmarks.descriptor import Direction, Family, WorkloadSize
from control_plane.mcp.data import Digest, KnobSaid, Moment, Name, NameOrNone, Place, Quoted, Record
from policy_lake.codes import Code
from policy_lake.model import Answer, Basis, Clock, Level
from policy_lake.scores import Doubt, Outcome

Origin = Literal["library", "user", "composed", "model"]
RunStatus = Literal["running", "done", "failed", "cancelled", "killed"]
Interval = tuple[float, float]


class GuardSaid(Record):
    """A second metric, which under a policy may be worse by at most the factor `limit`."""

    metric: Name
    unit: Name
    direction: Direction
    limit: float


class WorkloadSaid(Record):
    """A workload: `metric` is what a score compares, `bound` names the metric of the least that arithmetic allows."""

    id: Name
    title: Quoted
    goal: Quoted
    family: Family
    metric: Name
    unit: Name
    direction: Direction
    bound: NameOrNone
    guards: tuple[GuardSaid, ...]
    cpus: int
    sizes: tuple[WorkloadSize, ...]
    seconds: dict[WorkloadSize, float]


class Workloads(Record):
    """All workloads; `unreadable` says how many descriptors of the user's could not be read."""

    workloads: tuple[WorkloadSaid, ...]
    unreadable: int


class KnobOf(Record):
    """A tunable of a policy; null where its author gave no range. `count`: how many values a list may have."""

    name: Name
    kind: Literal["int", "bool", "names", "ints"]
    default: Quoted
    doc: Quoted
    low: int | None
    high: int | None
    unit: NameOrNone
    count: int


class PolicySaid(Record):
    """A policy without its source; `relevance` is 1.0 when meaning and words both rank it first, null outside one."""

    id: Name
    origin: Origin
    title: Quoted
    summary: Quoted
    good_for: Quoted
    weak_at: Quoted
    workloads: tuple[Name, ...]
    relevance: float | None = None


class Policies(Record):
    policies: tuple[PolicySaid, ...]


class PolicyWhole(Record):
    """A policy with its knobs and its source, C for BPF, that `check_source` and the others take."""

    policy: PolicySaid
    knobs: tuple[KnobOf, ...]
    mechanisms: dict[Name, Name]
    source: Quoted


class Guide(Record):
    """How to write a policy that the verifiers take: this project's own text, and still no instruction to a client."""

    guide: Quoted


class RatioSaid(Record):
    """Above 1 the policy is better than EEVDF with the same seeds; `ci95` is its 95 % interval."""

    median: float
    ci95: Interval


class ScoreSaid(Record):
    """A measured comparison with EEVDF; medians in `unit`. `bound` is the best ratio that arithmetic allows.

    `doubt` says why it is inconclusive. `guards` are ratios of the guards' metrics, `over` those that were broken, each
    with how many times its limit it reached: such a policy may not run. `also` are medians of the program's other
    numbers, named `baseline_…` and `policy_…`.
    """

    id: NameOrNone
    workload: Name
    policy: Name
    knobs: dict[Name, KnobSaid]
    metric: Name
    unit: Name
    baseline: float
    measured: float
    pairs: int
    ratio: RatioSaid
    outcome: Outcome
    doubt: Doubt
    bound: float | None
    detectable: float | None
    floor: float | None
    guards: dict[Name, RatioSaid]
    over: dict[Name, float]
    also: dict[Name, float]
    attached: bool
    clock: Clock
    cpus: int
    size: WorkloadSize
    machine: Quoted | None
    claim: Quoted


class RejectionSaid(Record):
    """Why a policy may not run: the stage that said no, and the evidence, such as the kernel's own words."""

    stage: Name
    code: Code
    bug: NameOrNone
    basis: Basis
    place: Place
    reason: Quoted
    advice: Quoted | None
    evidence: Quoted | None


class FindingSaid(Record):
    """One thing that a stage saw: `reject` ends the policy, `suspicion` and `unknown` are questions to the guest.

    `bug` is an id of docs/bugs.md, `place` FILE:LINE or where in the guest, `outcome` what came of a question.
    """

    level: Level
    code: Code
    bug: NameOrNone
    place: Place
    reason: Quoted
    advice: Quoted | None
    outcome: Answer
    situations: tuple[Quoted, ...]


class StageSaid(Record):
    """One step of a verdict; `left_out`: findings beyond the first. `evidence`: the words behind them."""

    name: Name
    ok: bool
    seconds: float
    findings: tuple[FindingSaid, ...]
    left_out: int
    evidence: Quoted | None


class Checked(Record):
    """What can be said before a guest is started. `ok`: a guest may have it, which is no verdict."""

    ok: bool
    name: Name
    stages: tuple[StageSaid, ...]
    knobs: tuple[KnobOf, ...]
    object_sha256: Digest
    seconds: float


class RunSaid(Record):
    id: Name
    workload: Name
    status: RunStatus
    started: Moment
    best: NameOrNone


class RejectedSaid(Record):
    policy: Name
    workload: NameOrNone
    knobs: dict[Name, KnobSaid]
    rejection: RejectionSaid


class LessonSaid(Record):
    policy: NameOrNone
    workload: NameOrNone
    text: Quoted


class History(Record):
    """What this lake holds, the latest of each kind first; `left_out` says how many of each kind are not shown."""

    runs: tuple[RunSaid, ...]
    scores: tuple[ScoreSaid, ...]
    rejections: tuple[RejectedSaid, ...]
    lessons: tuple[LessonSaid, ...]
    left_out: dict[Literal["runs", "scores", "rejections", "lessons"], int]

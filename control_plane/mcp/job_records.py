# SPDX-License-Identifier: Apache-2.0
"""What the tools answer of jobs: how far one is, in the protocol's words, and what came of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from benchmarks.descriptor import WorkloadSize
from control_plane.mcp.asked import Kind
from control_plane.mcp.data import Digest, KnobSaid, Moment, Name, NameOrNone, Quoted, Record
from control_plane.mcp.limits import POLL_MS
from control_plane.mcp.records import RatioSaid, RejectionSaid, ScoreSaid, StageSaid
from policy_lake.model import Clock
from policy_lake.profile import Aim
from policy_lake.scores import Outcome
from policy_lake.tuned import Stop

Failure = Literal["", "input", "machine", "lost"]
Status = Literal["working", "input_required", "completed", "cancelled", "failed"]


class CommandSaid(Record):
    """What the tasks of one command name did; times in ms, and us of one burst on a CPU or one wait for one."""

    comm: Quoted
    tasks: int
    cpu_ms: float
    cpu_ms_max_task: float
    wait_ms: float
    sleep_ms: float
    wakeups: int
    switches: int
    burst_us_p50: float
    burst_us_p99: float
    wait_us_p50: float
    wait_us_p99: float


class Observed(Record):
    """A workload's profile under EEVDF; `commands` with most CPU time first, `left_out` of them not shown."""

    kind: Literal["observe"]
    profile: Name
    workload: Name
    size: WorkloadSize
    cpus: int
    clock: Clock
    wall_s: float
    cpu_s: float
    parallelism: float
    wakeups_per_s: float
    aim: Aim
    goal: Quoted
    text: Quoted
    commands: tuple[CommandSaid, ...]
    left_out: int


class CoverageSaid(Record):
    """How much of the policy's own code the suite executed, in lines and in branches; null where that is not known."""

    lines: int | None
    lines_of: int | None
    branches: int | None
    branches_of: int | None


class Verified(Record):
    """A verdict. `signed` is never true: tokens are made by `schedcp verify`, which a person runs."""

    kind: Literal["verify"]
    accepted: bool
    suite: Literal["short", "full"]
    ops: NameOrNone
    rejection: RejectionSaid | None
    stages: tuple[StageSaid, ...]
    coverage: CoverageSaid | None
    object_sha256: Digest
    kernel: NameOrNone
    clock: Clock
    score: ScoreSaid | None
    warnings: tuple[Quoted, ...]
    signed: Literal[False] = False


class Scored(Record):
    """A score, or the rejection of a policy that may not run; both where it breaks a guard rail."""

    kind: Literal["score"]
    score: ScoreSaid | None
    rejection: RejectionSaid | None
    warnings: tuple[Quoted, ...]


class TriedSaid(Record):
    """One candidate of a run and what came of it: a ratio, a rejection's stage and reason, or a failure of ours."""

    candidate: Name
    iteration: int
    policy: Name
    knobs: dict[Name, KnobSaid]
    planner: Quoted
    reason: Quoted
    ratio: RatioSaid | None
    outcome: Outcome | None
    rejected_at: NameOrNone
    rejection: Quoted | None
    failure: Quoted | None


class Tuned(Record):
    """A whole run. `best` is the id of its best candidate; `confirmed` is never true, since no winner is measured again
    and signed here: `schedcp tune`, which a person runs, does that.
    """

    kind: Literal["tune"]
    run: Name
    workload: Name
    tried: tuple[TriedSaid, ...]
    left_out: int
    best: NameOrNone
    rejected: int
    failed: int
    seconds: float
    stopped: Stop
    report: Quoted | None
    warnings: tuple[Quoted, ...]
    confirmed: Literal[False] = False


Result = Annotated[Observed | Verified | Scored | Tuned, Field(discriminator="kind")]


class Task(Record):
    """How far a job is, in the fields of the protocol's tasks extension."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)

    task_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    status: Status
    status_message: Annotated[
        str, Field(pattern=r"^(running|waiting, [0-9]+ before it|done|cancelled|ending|failed: .{1,60})$")
    ]
    created_at: Moment
    last_updated_at: Moment
    ttl_ms: int | None = None
    poll_interval_ms: int = POLL_MS


class JobState(Record):
    """A job in short."""

    task: Task
    kind: Kind


class JobSaid(JobState):
    """A job: `result` once it is completed, `error` and what it is about (`failure`) once it has failed."""

    progress: tuple[Quoted, ...]
    failure: Failure
    error: Quoted | None
    result: Result | None

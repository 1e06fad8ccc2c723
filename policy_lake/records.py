# SPDX-License-Identifier: Apache-2.0
"""What the lake keeps: eleven kinds of record, the columns one filters by, and the records only the lake speaks of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from policy_lake.calls import ModelCall
from policy_lake.errors import SchedcpError
from policy_lake.measurement import Measurement
from policy_lake.model import Candidate, Lesson, Policy, Rejection
from policy_lake.profile import WorkloadProfile
from policy_lake.rollout import RolloutDone, RolloutPlan, Window
from policy_lake.scores import Score
from policy_lake.tuned import NoSummary, Summary


class LakeError(SchedcpError):
    """The lake's files are damaged or do not fit together; the message names the file and the mending command."""


@dataclass(frozen=True, slots=True)
class Run:
    """One tuning run, put again whenever it changes. Times are ISO 8601 in UTC; `best` is a policy's id or empty.

    `killed` is a run whose process ended without a word; when is not known, and `ended` is empty. `version` is that of
    the schedcp that began it; empty where an older one did not say.
    """

    id: str
    workload: str
    status: Literal["running", "done", "failed", "cancelled", "killed"]
    started: str
    ended: str = ""
    best: str = ""
    summary: Summary = field(default_factory=NoSummary)
    version: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A candidate together with why it may not run, so that a planner can avoid the like.

    `kernel` is the release of the kernel that it was for; empty where an older schedcp did not say.
    """

    candidate: Candidate
    rejection: Rejection
    workload: str = ""
    kernel: str = ""


@dataclass(frozen=True, slots=True)
class RankedPolicy:
    """A policy that a search found; `relevance` is 1.0 when both meaning and words rank it first, above 0 always."""

    policy: Policy
    relevance: float


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored record as data, with the name of its table."""

    kind: str
    id: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Regression:
    """The smallest situation that a policy of that name (of its ops) was seen to fail in; those after it meet it, too.

    `situation` is what `schedcp verify --only` takes, `bug` and `reason` what was wrong.
    """

    id: str
    policy: str
    situation: str
    bug: str
    reason: str


@dataclass(frozen=True, slots=True)
class HostAudit:
    """The end of a host's audit log as its agent told it: `entries` as JSON, the first of them number `first`.

    `log` is the log's identity, drawn as it was begun: another one under the host's name is of a host made anew.

    `previous` is the digest of the entry before those, `sha256` of the last one: a later copy must go through that.
    """

    host: str
    first: int
    previous: str
    entries: tuple[str, ...]
    sha256: str
    log: str = ""


@dataclass(frozen=True, slots=True)
class Rollout:
    """A policy's way onto hosts, put again whenever it changes: its plan, every window that was seen, how it ended.

    Times are ISO 8601 in UTC. `hosts` are in the order in which the steps take them, `done` None while it goes on, or
    where its process ended without a word. `audits` are of the hosts that could still be asked then.
    """

    id: str
    workload: str
    policy: str
    token_sha256: str
    hosts: tuple[str, ...]
    plan: RolloutPlan
    started: str
    ended: str = ""
    windows: tuple[Window, ...] = ()
    done: RolloutDone | None = None
    audits: tuple[HostAudit, ...] = ()


Record = (
    Policy
    | WorkloadProfile
    | Candidate
    | Score
    | Rejected
    | Lesson
    | Run
    | Measurement
    | Regression
    | Rollout
    | ModelCall
)

KINDS: dict[str, type[Any]] = {
    "policies": Policy,
    "profiles": WorkloadProfile,
    "candidates": Candidate,
    "scores": Score,
    "rejections": Rejected,
    "lessons": Lesson,
    "runs": Run,
    "measurements": Measurement,
    "regressions": Regression,
    "rollouts": Rollout,
    "calls": ModelCall,
}


def columns(kind: str, data: dict[str, Any]) -> dict[str, str]:
    """The columns of a record's row: `id` (the primary key) and what one filters by, empty where it does not apply.

    Two runs may try one candidate, whose id is derived from source and knobs alone: its rows are keyed by run as well.
    """
    head = data["candidate"] if kind == "rejections" else data
    of_candidate = kind in ("candidates", "rejections")
    run = head["id"] if kind == "runs" else head.get("run_id", "")
    return {
        "id": f"{run}/{head['id']}" if of_candidate and run else head["id"],
        "run_id": run,
        "workload": data.get("workload", ""),
        "policy": head["id"] if kind == "policies" else head.get("policy", ""),
        "candidate": head["id"] if of_candidate else head.get("candidate", ""),
    }


def search_text(data: dict[str, Any]) -> str:
    """The words by which a policy is found. What it is weak at stays out: it would attract the wrong workloads."""
    return f"{data['id']}: {data['title']}. {data['summary']} Good for: {data['good_for']}"

# SPDX-License-Identifier: Apache-2.0
"""What a client may ask for: the types of the tools' arguments, which are what their schemas say, and nothing else."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from benchmarks.descriptor import WorkloadSize
from control_plane.mcp import limits
from policy_lake.limits import (
    ITERATIONS,
    MAX_GUEST_S,
    MAX_RUNS,
    MAX_SECONDS,
    MOST_PAIRS,
    PAIRS,
    PER_ITERATION,
    SEED,
    Limit,
)

Kind = Literal["observe", "verify", "score", "tune"]


def within(limit: Limit, words: str, *, low: float | None = None) -> Any:
    """A whole number within its limit, as a pydantic field."""
    return Field(ge=limit.low if low is None else low, le=limit.high, description=words)


# No dot and no slash: an id can be no file.
WorkloadId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,99}$", description="An id of list_workloads.")]
WorkloadIdOrNone = Annotated[
    str, Field(pattern=r"^$|^[a-z][a-z0-9-]{0,99}$", description="An id of list_workloads; empty: none.")
]
PolicyId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,99}$", description="An id of search_policies.")]
PolicyIdOrNone = Annotated[
    str,
    Field(pattern=r"^$|^[A-Za-z0-9_][A-Za-z0-9_-]{0,99}$", description="An id of search_policies, or empty."),
]
Query = Annotated[str, Field(min_length=1, max_length=limits.QUERY_CHARACTERS, description="Plain words.")]
Source = Annotated[
    str,
    Field(min_length=1, max_length=limits.SOURCE_CHARACTERS, description="A whole policy, BPF C of one file."),
]
SourceOrNone = Annotated[
    str,
    Field(
        max_length=limits.SOURCE_CHARACTERS,
        description="A whole policy, BPF C of one file, in place of `policy`: give one of the two.",
    ),
]
PolicyName = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$", description="What to call the policy of `source`.")
]
KnobText = Annotated[str, Field(max_length=limits.KNOB_CHARACTERS)]
KnobNumber = Annotated[int, Field(ge=-(2**63), lt=2**64)]
KnobAsked = (
    bool
    | KnobNumber
    | float
    | KnobText
    | Annotated[list[bool | KnobNumber | KnobText], Field(max_length=limits.KNOB_ITEMS)]
)
Knobs = Annotated[
    dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")], KnobAsked],
    Field(max_length=limits.KNOBS, description="Values of the policy's knobs, by name; a list for a list."),
]
Size = Annotated[WorkloadSize, Field(description="Size of the workload.")]
Suite = Annotated[Literal["short", "full"], Field(description="The whole adversarial suite takes minutes.")]
Rows = Annotated[int, within(limits.ROWS, "How many of each kind at most.")]
Cpus = Annotated[int, within(limits.CPUS_ASKED, "CPUs of the guest; 0: what the workload asks for.")]
Seed = Annotated[int, within(SEED, "Seed of the workload's data.")]
Pairs = Annotated[int, within(PAIRS, "Pairs of runs with EEVDF to measure at first.")]
MostPairs = Annotated[
    int, within(MOST_PAIRS, "Pairs at most, where more would settle it; 0: as `schedcp score`.", low=0)
]
Iterations = Annotated[int, within(ITERATIONS, "Rounds of plan, measure, learn.")]
PerIteration = Annotated[int, within(PER_ITERATION, "Candidates a round.")]
MaxRuns = Annotated[int, within(MAX_RUNS, "No round begins after so many runs of candidates; 0: any.")]
MaxGuestSeconds = Annotated[int, within(MAX_GUEST_S, "No round begins after so many seconds in guests; 0: any.")]
MaxSeconds = Annotated[int, within(MAX_SECONDS, "No round begins after so many seconds in all; 0: any.")]
TaskId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", description="The taskId that a start_… tool gave.")]
WaitS = Annotated[int, within(limits.WAIT_S, "Seconds to wait for its end, with progress where that is asked for.")]


class Asked(BaseModel):
    """What a job's process is handed, checked by the tool that was called and once more there."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PolicyAsked(Asked):
    """A policy of the library or the lake by its id, or a source under a name."""

    policy: PolicyIdOrNone = ""
    source: SourceOrNone = ""
    name: PolicyName = "mine"
    knobs: Knobs = {}


class ObserveAsked(Asked):
    kind: Literal["observe"] = "observe"
    workload: WorkloadId
    size: Size = "standard"
    cpus: Cpus = 0
    seed: Seed = SEED.preset


class VerifyAsked(PolicyAsked):
    kind: Literal["verify"] = "verify"
    suite: Suite = "short"
    workload: WorkloadIdOrNone = ""


class ScoreAsked(PolicyAsked):
    kind: Literal["score"] = "score"
    workload: WorkloadId
    size: Size = "standard"
    cpus: Cpus = 0
    pairs: Pairs = PAIRS.preset
    most_pairs: MostPairs = 0
    seed: Seed = SEED.preset


class TuneAsked(Asked):
    kind: Literal["tune"] = "tune"
    workload: WorkloadId
    size: Size = "standard"
    cpus: Cpus = 0
    iterations: Iterations = ITERATIONS.preset
    per_iteration: PerIteration = PER_ITERATION.preset
    pairs: Pairs = PAIRS.preset
    seed: Seed = SEED.preset
    max_runs: MaxRuns = 0
    max_guest_seconds: MaxGuestSeconds = 0
    max_seconds: MaxSeconds = 0


JobAsked = Annotated[ObserveAsked | VerifyAsked | ScoreAsked | TuneAsked, Field(discriminator="kind")]

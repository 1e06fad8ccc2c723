# SPDX-License-Identifier: Apache-2.0
"""What a campaign is to take and what came of it: made by tasks/campaign, shown and printed; a leaf."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from policy_lake.scores import Outcome, Ratio

CampaignStop = Literal["done", "runs", "seconds"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where contenders meet: a workload on so many CPUs taken for a machine (`flat`: for none), from one seed on."""

    workload: str
    machine: str
    cpus: int
    seed: int

    def __str__(self) -> str:
        return f"{self.workload}, {self.machine}, {self.cpus} CPUs, seed {self.seed}"


@dataclass(frozen=True, slots=True)
class CampaignPlan:
    """What a campaign needs, before it starts.

    `runs` are different runs of policies and of EEVDF, `known` those of them that the lake holds. `verifications` may
    be known in part: a worker says so when it is asked. Planners choose their runs as they go: `planner_runs` is the
    most that they may take, EEVDF's left out. `seconds` is what the runs that are left take on `slots` guests at once,
    from recorded times of the same kind; None where any kind was never timed (`untimed` runs). `guest_s` is the same
    in seconds of one guest.
    """

    name: str
    comparisons: int
    runs: int
    known: int
    verifications: int
    planners: int
    planner_runs: int
    slots: int
    memory_mib: int
    seconds: float | None
    guest_s: float | None
    untimed: int
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CampaignRow:
    """A contender in a place: `ratio` is None where there is none, and then `why_not` says why.

    `policy` is what a planner came to, else the contender itself. `score` is the id of the score. `runs` are those of
    candidates; `guard` says that it broke one, and so may not run.
    """

    place: Place
    contender: str
    policy: str = ""
    ratio: Ratio | None = None
    outcome: Outcome | None = None
    bound: float | None = None
    runs: int = 0
    score: str = ""
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class CampaignDone:
    """How far a campaign came: `stopped` is `done`, or the budget that was used up; the same command goes on.

    `computed` runs were computed this time, `known` were there; `failures` are runs without a result, by their
    reasons, with their number. Times are in seconds: of guests in all, and from start to end.
    """

    name: str
    stopped: CampaignStop
    computed: int
    known: int
    rows: tuple[CampaignRow, ...]
    failures: dict[str, int] = field(default_factory=dict)
    guest_s: float = 0.0
    wall_s: float = 0.0

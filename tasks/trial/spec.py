# SPDX-License-Identifier: Apache-2.0
"""A trial's records: what is to be tried, what a worker is given to do, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.measurement import Measured
from benchmarks.workloads import Workload
from policy_lake.model import Candidate, Rejection, Verdict
from policy_lake.records import Regression
from policy_lake.scores import MeasurementPlan, Score
from tasks.host.guest import Shape
from tasks.host.settings import Settings
from tasks.trial.static import Checked


@dataclass(frozen=True, slots=True)
class Loadable:
    """A compiled policy with the loader's `KNOB=VALUE` words, and its name for people."""

    data: bytes
    arguments: tuple[str, ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class TrialSpec:
    """One candidate to try, and how.

    `control` is a second policy to measure beside it, `confirms` the score that this one repeats, `floor` the ratio by
    which equal runs differ where that is known (by the wall clock; else it is measured). With `known_suffices` a
    candidate that was accepted here before is only measured: enough for a score, never for a token. Of `regressions`
    it meets those of its own policy.

    `checked` is what the static stages said of it where they were asked already, `files` the names of the user's files
    that it was built from; else it is built from the candidate's source.
    """

    candidate: Candidate
    workload: Workload
    shape: Shape
    settings: Settings
    plan: MeasurementPlan = field(default_factory=MeasurementPlan)
    control: Candidate | None = None
    floor: float | None = None
    confirms: str = ""
    known_suffices: bool = False
    regressions: tuple[Regression, ...] = ()
    checked: Checked | None = None
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of a candidate: its verdict, its score if it was measured, and what was loaded.

    A score whose policy breaks a guard (`over`) stands beside a verdict that rejects it.

    `arguments` are the loader's `KNOB=VALUE` words, `btf_sha256` says which kernel's types the verdict holds for.
    """

    candidate: Candidate
    verdict: Verdict
    score: Score | None
    object_data: bytes = b""
    arguments: tuple[str, ...] = ()
    btf_sha256: str = ""
    warning: str = ""


@dataclass(frozen=True, slots=True)
class VerifyWork:
    """To be checked, built and verified in a guest; the control is built, too."""

    spec: TrialSpec


@dataclass(frozen=True, slots=True)
class Prepared:
    """A candidate's verdict before it is measured, with its object and the control's (where there is one)."""

    verdict: Verdict
    policy: Loadable | None
    control: Loadable | None
    btf_sha256: str
    warning: str


@dataclass(frozen=True, slots=True)
class RunWork:
    """One run by the virtual clock: a workload under a policy (None: EEVDF). Its result is a function of the inputs.

    `work_seed` varies the work, `guest_seed` the guest's random numbers and its timer's phase. `traced` has the run
    reported event by event, which costs time: its figures count for nothing.
    """

    workload: Workload
    shape: Shape
    settings: Settings
    policy: Loadable | None
    work_seed: int
    guest_seed: int
    traced: bool = False


@dataclass(frozen=True, slots=True)
class PairsWork:
    """Interleaved rounds by the wall clock in one guest, from round `first` on; `policy` is None in an A/A run."""

    workload: Workload
    shape: Shape
    settings: Settings
    policy: Loadable | None
    control: Loadable | None
    seed: int
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Rounds:
    """What interleaved rounds came to, and in which guest."""

    measured: Measured | Rejection
    kernel: str
    accel: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Asked between two lots of pairs: is this candidate worth more of them? `logs` are its ratios' logarithms so far.

    `breaks` says that it broke a guard. Answered by a race (race.py), or at once with yes where there is none.
    """

    logs: tuple[float, ...]
    breaks: bool


@dataclass(frozen=True, slots=True)
class GoOn:
    """The answer to a Standing."""

    yes: bool


Work = VerifyWork | RunWork | PairsWork
Asked = Work | Standing

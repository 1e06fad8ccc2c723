# SPDX-License-Identifier: Apache-2.0
"""The project's glossary: the records that every other package speaks in.

Plain frozen data, units in the names; of ours it imports codes.py alone. `to_json` and `from_json` carry a record over
any wire.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from policy_lake.codes import Code

KnobValue = int | float | str | bool
Outcome = Literal["win", "loss", "inconclusive"]
Clock = Literal["wall", "virtual"]
# Why a score is neither a win nor a loss: its interval holds 1, or what it shows is less than equal runs differ by, or
# less than is worth having. Empty: it is a win or a loss.
Doubt = Literal["", "interval", "floor", "effect"]


class SchedcpError(Exception):
    """A failure of ours, told in one line; `exit_status` is what a command ends with."""

    exit_status = 4


class InputError(SchedcpError):
    """The caller's input is wrong; the message names the thing and the place."""

    exit_status = 2


class InfraError(SchedcpError):
    """QEMU, disk, network or the cluster failed: nothing is known of the candidate, and a retry may help."""


class LostVMError(InfraError):
    """The guest stopped answering without saying why; `console` is the end of what it printed."""

    def __init__(self, message: str, console: str = "") -> None:
        super().__init__(message)
        self.console = console

    def __reduce__(self) -> tuple[Any, ...]:  # Ray pickles errors, and Exception's own reduce drops `console`
        return type(self), (str(self), self.console)


class BuildError(SchedcpError):
    """The compiler refused a source; `diagnostics` is what it said."""

    def __init__(self, message: str, diagnostics: str = "") -> None:
        super().__init__(message)
        self.diagnostics = diagnostics

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.diagnostics)


@dataclass(frozen=True, slots=True)
class Knob:
    """A tunable of a policy: a `const volatile` of its source; `names` and `ints` are lists of up to `count`.

    `c_type` is the C type of one value: u8 to u64, s8 to s64, bool, char; empty where nobody knows it. `name_bytes` is
    how long a name may be (TASK_COMM_LEN less the zero at its end).
    """

    name: str
    kind: Literal["int", "bool", "names", "ints"]
    default: str
    doc: str
    low: int | None = None
    high: int | None = None
    unit: str = ""
    count: int = 1
    c_type: str = ""
    name_bytes: int = 15


@dataclass(frozen=True, slots=True)
class Policy:
    """A sched_ext program with what a planner must know to choose it; `origin` says who wrote it."""

    id: str
    title: str
    summary: str
    good_for: str
    weak_at: str
    source: str
    knobs: tuple[Knob, ...] = ()
    workloads: tuple[str, ...] = ()
    origin: Literal["library", "user", "composed"] = "library"


@dataclass(frozen=True, slots=True)
class CommandProfile:
    """What the tasks of one command name did while a workload ran once under the baseline."""

    comm: str
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


@dataclass(frozen=True, slots=True)
class WorkloadProfile:
    """What a workload does to the scheduler: numbers per command, and `text`, the same in plain words with goals.

    `inputs` is a digest of all that it is a function of; empty by the wall clock.
    """

    id: str
    workload: str
    cpus: int
    wall_s: float
    cpu_s: float
    parallelism: float
    wakeups_per_s: float
    commands: tuple[CommandProfile, ...]
    goal: str
    text: str
    clock: Clock = "wall"
    tier: str = "standard"
    inputs: str = ""


@dataclass(frozen=True, slots=True)
class PolicyPlan:
    """One proposal of a planner: which policy, which knob values, and why."""

    policy: str
    knob_values: dict[str, KnobValue]
    reason: str
    planner: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plan made concrete: the source it builds from and the knobs it loads with. `id` is derived from both."""

    id: str
    run_id: str
    iteration: int
    policy: str
    source: str
    knob_values: dict[str, KnobValue]
    reason: str
    planner: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a stage saw. `bug` is its id in docs/bugs.md (F01 to F42) or a word, `advice` what to change.

    `code` is its kind, by which code decides; `reason` is for people. `reject` ends the candidate. `unknown` could not
    be settled there and is left to a later stage. `note` is said and allowed. `place` is FILE:LINE, or a callback, or
    where in the guest.
    """

    bug: str
    level: Literal["reject", "unknown", "note"]
    reason: str
    place: str = ""
    advice: str = ""
    code: Code = Code.STATIC


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a candidate may not run: the stage that said no, the reason in one line, the evidence in full words.

    `bug`, `place`, `advice` and `code` are the finding's.
    """

    stage: str
    reason: str
    evidence: str
    bug: str = ""
    place: str = ""
    advice: str = ""
    code: Code = Code.STATIC


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a verdict, in order: source, build, object, kernel, survive, fair, score.

    `callbacks` are the members of sched_ext_ops that the policy implements, where the stage read them: `object` does.
    """

    name: str
    ok: bool
    seconds: float
    findings: tuple[Finding, ...] = ()
    evidence: str = ""
    callbacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the verifier says of one candidate; accepted exactly when there is no rejection."""

    accepted: bool
    rejection: Rejection | None
    stages: tuple[Stage, ...]
    ops: str = ""
    object_sha256: str = ""
    kernel: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """The same seed under the baseline and under the policy: two runs from one snapshot, or in one guest by turns."""

    baseline: float
    policy: float
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Ratio:
    """Baseline over policy for a lower-is-better metric (the inverse otherwise): above 1 the policy is better."""

    median: float
    ci95: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Control:
    """A second policy in the same rounds: its median, and the ratio of the scored policy against it."""

    policy: str
    median: float
    ratio: Ratio
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class MeasurementPlan:
    """How a policy is measured: `pairs` runs with the baseline's beside them, and more of them up to `most_pairs`.

    The first has seed number `seed`. More are measured only while the effect is promising and not yet sure.
    """

    pairs: int = 5
    most_pairs: int = 0
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Provenance:
    """All that a score is a function of beside its policy, to take it again or to know it from another.

    Kernel, image and binary are SHA-256; `qemu` and `clock` are names (clock: empty by the wall clock). `numbers` are
    those that the user asked for in place of the workload's own, `control` is the second control's candidate.
    """

    kernel_sha256: str
    image_sha256: str
    qemu: str
    clock: str
    cpus: int
    llcs: int
    smt: int
    nodes: int
    memory_mib: int
    workload_file: str
    workload_sha256: str
    object_sha256: str
    arguments: tuple[str, ...]
    plan: MeasurementPlan
    numbers: dict[str, int] = field(default_factory=dict)
    binary: str = ""
    binary_sha256: str = ""
    control: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """A measured comparison, with all that is needed to repeat it. `bound` is the best ratio arithmetic allows.

    `anytime95` is the ratio's anytime-valid 95 % interval, `detectable` the minimum detectable effect (a ratio above
    1), `ratios` those of the guards, `floor` what equal runs of the workload differ by, `confirms` the score that this
    one measured again on fresh seeds. `doubt` says why it is inconclusive. `measurements` are the ids of its runs in
    the lake, the policy's and then the baseline's, each in the order of `pairs`; none by the wall clock.
    """

    id: str
    workload: str
    policy: str
    baseline: str
    knob_values: dict[str, KnobValue]
    metric: str
    unit: str
    clock: Clock
    cpus: int
    pairs: tuple[Pair, ...]
    ratio: Ratio
    bound: float | None
    attached: bool
    outcome: Outcome
    run_id: str = ""
    candidate: str = ""
    kernel: str = ""
    accel: str = ""
    topology: str = ""
    provenance: Provenance | None = None
    also: dict[str, float] = field(default_factory=dict)
    seed: int = 0
    anytime95: tuple[float, float] | None = None
    detectable: float | None = None
    ratios: dict[str, Ratio] = field(default_factory=dict)
    control: Control | None = None
    floor: float | None = None
    confirms: str = ""
    tier: str = "standard"
    doubt: Doubt = ""
    measurements: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a run taught, in one sentence that a planner can use; `policy` and `workload` say where it holds."""

    id: str
    run_id: str
    workload: str
    policy: str
    text: str


Record = TypeVar("Record")


def to_json(record: Any) -> dict[str, Any]:
    """A record as JSON-ready data; tuples become lists."""
    return dict(_adapter(type(record)).dump_python(record, mode="json"))


def from_json(kind: type[Record], data: dict[str, Any]) -> Record:
    """The record that `to_json` made; unknown fields are dropped, wrong ones a ValidationError."""
    return typing.cast(Record, _adapter(kind).validate_python(data))


_ADAPTERS: dict[Any, Any] = {}  # making one takes some 4 ms, two hundred times what using it does


def _adapter(kind: Any) -> Any:
    if kind not in _ADAPTERS:
        from pydantic import TypeAdapter  # 0.3 s that `schedcp --help` must not pay

        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]

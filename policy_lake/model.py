# SPDX-License-Identifier: Apache-2.0
"""The project's glossary: the records that every other package speaks in.

Plain frozen data, units in the names; of ours it imports codes.py and coverage.py alone. `to_json` and `from_json`
carry a record over any wire.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from policy_lake.codes import Code
from policy_lake.coverage import Coverage
from policy_lake.topology import Topology

KnobValue = int | float | str | bool
Clock = Literal["wall", "virtual"]
Level = Literal["reject", "suspicion", "unknown", "note"]
# Of an open question: a later stage proved it, a guest showed it, met every situation without it, or did not meet one.
Answer = Literal["", "proven", "witnessed", "not seen", "partly tried", "not tried"]
Basis = Literal["", "evidence", "guess"]
Origin = Literal["library", "user", "composed", "model"]
# How a plan came by its policy: as it won elsewhere, with other knob values, put together from primitives, by filling a
# template's slots, by exact edits of another, or written whole. In this order they are a planner's ladder.
Pathway = Literal["", "reuse", "configure", "compose", "slot", "patch", "write"]


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
class Authored:
    """How a policy of origin `model` came about: the rung of the ladder, the model, the prompt's id, the call's id.

    `lineage` are the policies that it was made from, the nearest first; `tokens` and `usd` are what the conversation
    that it came from had used by then, `usd` None where no price is known. `run_id` is the run that it was made for.
    """

    rung: Pathway
    model: str
    prompt: str = ""
    call: str = ""
    run_id: str = ""
    lineage: tuple[str, ...] = ()
    tokens: int = 0
    usd: float | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """A sched_ext program with what a planner must know to choose it; `origin` says who wrote it.

    `mechanisms` are pairs of a choice and its value, such as ("order", "vtime"); empty where the source does not say.
    `authored` is of origin `model` alone.
    """

    id: str
    title: str
    summary: str
    good_for: str
    weak_at: str
    source: str
    knobs: tuple[Knob, ...] = ()
    workloads: tuple[str, ...] = ()
    origin: Origin = "library"
    mechanisms: tuple[tuple[str, str], ...] = ()
    authored: Authored | None = None


@dataclass(frozen=True, slots=True)
class PolicyPlan:
    """One proposal of a planner: which policy, which knob values, and why.

    `predicted` is the ratio that the planner expects of it, before it is measured; None if it says none. `uncorrected`
    is the same without what earlier predictions came to. `pathway` is how it came by the policy, `parent` the candidate
    from which it is one step; empty where it comes from none. `made` is the policy itself where the plan brings one
    that nobody knew before.
    """

    policy: str
    knob_values: dict[str, KnobValue]
    reason: str
    planner: str
    predicted: float | None = None
    uncorrected: float | None = None
    pathway: Pathway = ""
    parent: str = ""
    made: Policy | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plan made concrete: the source it builds from and the knobs it loads with. `id` is derived from both.

    `predicted`, `uncorrected`, `pathway` and `parent` are the plan's.
    """

    id: str
    run_id: str
    iteration: int
    policy: str
    source: str
    knob_values: dict[str, KnobValue]
    reason: str
    planner: str
    predicted: float | None = None
    uncorrected: float | None = None
    pathway: Pathway = ""
    parent: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a stage saw. `bug` is its id in docs/bugs.md (F01 to F43) or a word, `advice` what to change.

    `code` is its kind, by which code decides; `reason` is for people. `reject` is a proof or a witnessed failure, and
    ends the candidate. `suspicion` looks like a mistake, by a heuristic; `unknown` could not be settled there: both are
    open questions to the guest, `situations` name what would show it, and `outcome` says what came of it (empty before
    there is a verdict). `note` is said and allowed. `place` is FILE:LINE, or a callback, or where in the guest.

    `basis` is how a guest's finding comes by its `bug`: `evidence` shows it, a `guess` is the likeliest, empty where
    that is no question. `witness` tells in lines who ran and who waited, and for how long. `explained`: its reason ends
    with the suspicion that it fits.
    """

    bug: str
    level: Level
    reason: str
    place: str = ""
    advice: str = ""
    code: Code = Code.STATIC
    situations: tuple[str, ...] = ()
    outcome: Answer = ""
    basis: Basis = ""
    witness: tuple[str, ...] = ()
    explained: bool = False

    @property
    def is_open(self) -> bool:
        """Whether it is a question that a guest is to answer."""
        return self.level in ("suspicion", "unknown")


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a candidate may not run: the stage that said no, the reason in one line, the evidence in full words.

    `bug`, `place`, `advice`, `code`, `basis` and `witness` are the finding's.
    """

    stage: str
    reason: str
    evidence: str
    bug: str = ""
    place: str = ""
    advice: str = ""
    code: Code = Code.STATIC
    basis: Basis = ""
    witness: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a verdict, in order: source, build, object, kernel, survive, fair, score.

    `callbacks` are the members of sched_ext_ops that the policy implements, where the stage read them: `object` does.
    `situations` are those that the policy met in it, `topologies` the guests in which it met the suite to its end.
    """

    name: str
    ok: bool
    seconds: float
    findings: tuple[Finding, ...] = ()
    evidence: str = ""
    callbacks: tuple[str, ...] = ()
    situations: tuple[str, ...] = ()
    topologies: tuple[Topology, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the verifier says of one candidate; accepted exactly when there is no rejection.

    `coverage` is what its guests executed of the policy, None where none was started.
    """

    accepted: bool
    rejection: Rejection | None
    stages: tuple[Stage, ...]
    ops: str = ""
    object_sha256: str = ""
    kernel: str = ""
    coverage: Coverage | None = None


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

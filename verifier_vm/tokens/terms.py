# SPDX-License-Identifier: Apache-2.0
"""What a token is about: its records, the stages it must stand on, and the limits that no request can widen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from policy_lake.coverage import Share
from policy_lake.scores import Ratio
from policy_lake.topology import Topology
from verifier_vm.judge.suite import SuiteTier
from verifier_vm.tokens.public_key import SignedBy

VERIFIER_VERSION = "5"  # of the checks a token stands for: raised when they change, and old tokens end with it
# A verdict without one of these is not complete, and gets no token.
REQUIRED_STAGES = ("source", "build", "object", "kernel", "survive", "fair")
LEVELS = {
    "source": "SCHEDCP_SOURCE_CHECKED",
    "object": "SCHEDCP_OBJECT_CHECKED",
    "kernel": "SCHEDCP_KERNEL_VERIFIED",
    "survive": "SCHEDCP_SURVIVES",
    "fair": "SCHEDCP_FAIR",
}
VERIFIED, SCORED = "SCHEDCP_VERIFIED", "SCHEDCP_SCORED"
# What a host must know of a policy that was let through with such a note.
LIMITS_OF_BUGS = {
    "F30": "it ends, tidily, when a CPU goes or comes, and the kernel's own scheduler goes on",
    "F35": "how it ended will not be known",
    "F16": "nice levels are not honoured",
    "F41": "cgroup weights and quotas (cpu.weight, cpu.max) are not honoured",
}

VALID_FOR = timedelta(days=7)
LONGEST_VALID_FOR = timedelta(days=30)
CLOCK_SKEW = timedelta(minutes=2)
LONGEST_STALL_MS = 30_000  # the kernel's own watchdog takes no longer time-out (SCX_WATCHDOG_MAX_TIMEOUT)
LARGEST_P99_RATIO = 2.0
LONGEST_TEXT = 300

RolloutStage = Literal["canary", "host", "fleet"]  # how far a rollout may go, in order
Hotplug = Literal["goes on", "ends"]  # what becomes of the policy when a CPU goes or comes


@dataclass(frozen=True, slots=True)
class StageDigest:
    """One stage of the verdict: `sha256` is of the canonical JSON of its report, which lies beside the token."""

    name: str
    ok: bool
    sha256: str


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """Limits by which a host's agent takes the policy off (host_agent/breaker.py).

    `stall_ms` is the longest that a runnable task may wait, `p99_ratio` the largest p99 over that of the baseline.
    """

    stall_ms: int = 5_000
    p99_ratio: float = 1.25


@dataclass(frozen=True, slots=True)
class Provenance:
    """Who proposed the policy, by which model from which prompt, at what cost; empty where there was none."""

    planner: str = ""
    model: str = ""
    prompt_sha256: str = ""
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """How much of the policy's own code the suite executed: lines, and ways of conditional jumps, outside error paths.

    A rollout beyond the canary needs `min_percent` of the branches. `sha256` is of the report's canonical JSON.
    """

    lines: Share
    branches: Share
    min_percent: int
    sha256: str


DEFAULT_LIMITS = BreakerLimits()
UNKNOWN = Provenance()


@dataclass(frozen=True, slots=True)
class LogPlace:
    """Where the log tells of the token: the entry's number, and the digest of the entry before it."""

    seq: int
    previous: str


@dataclass(frozen=True, slots=True)
class Token:
    """What a token says. Digests are SHA-256 in hex, times in UTC, `arguments` the loader's `KNOB=VALUE` words.

    `checks_sha256` is of the verifier's own rules, `tier` says which suite was passed, `last_known_good` an object or
    empty, `limits` in words, `coverage` None where nobody saw what was executed. `tried` are the situations that it
    met, `not_tried` the open questions that none answered, each as `BUG: situations`, `topologies` the guests in which
    it passed: a host outside them may not load it. `signed_by` is the kind of key: a `lab` key is of a user who also
    plans. `evidence_sha256` is of the list of the evidence files that the verifier keeps; empty where it keeps none.
    """

    policy: str
    object_sha256: str
    source_sha256: str
    arguments: tuple[str, ...]
    kernel: str
    btf_sha256: str
    audience: str
    issued: datetime
    expires: datetime
    nonce: str
    version: int
    stages: tuple[StageDigest, ...]
    checks_sha256: str
    log: LogPlace
    rollout_limit: RolloutStage = "canary"
    breaker: BreakerLimits = DEFAULT_LIMITS
    last_known_good: str = ""
    limits: tuple[str, ...] = ()
    provenance: Provenance = UNKNOWN
    workload: str = ""
    ratio: Ratio | None = None
    score_sha256: str = ""
    tier: SuiteTier = "short"
    coverage: Tried | None = None
    hotplug: Hotplug = "ends"
    tried: tuple[str, ...] = ()
    not_tried: tuple[str, ...] = ()
    topologies: tuple[Topology, ...] = ()
    signed_by: SignedBy = "lab"
    evidence_sha256: str = ""
    verifier_version: str = VERIFIER_VERSION

    @property
    def levels(self) -> tuple[str, ...]:
        """What was verified, in named levels."""
        staged = [LEVELS[stage.name] for stage in self.stages if stage.ok and stage.name in LEVELS]
        return (VERIFIED, *staged, *([SCORED] if self.ratio else []))

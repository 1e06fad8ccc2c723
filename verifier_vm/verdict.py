# SPDX-License-Identifier: Apache-2.0
"""Stages into a verdict: a stage with one finding that rejects has failed, and the first such stage says why."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from policy_lake.codes import Code
from policy_lake.coverage import Coverage
from policy_lake.model import Finding, Rejection, Stage, Verdict


def stage_of(name: str, seconds: float, findings: Sequence[Finding] = (), evidence: str = "") -> Stage:
    """A stage that is passed unless one of its findings rejects."""
    ok = not any(finding.level == "reject" for finding in findings)
    return Stage(name, ok, seconds, tuple(findings), evidence)


def rejection_of(stage: Stage) -> Rejection | None:
    """Why a stage failed, from its first finding that rejects; None if it is passed."""
    if stage.ok:
        return None
    first = next((finding for finding in stage.findings if finding.level == "reject"), None)
    if first is None:  # a stage that failed without saying why still lets nothing through
        return Rejection(stage.name, "it failed without saying why", stage.evidence, code=Code.UNEXPLAINED)
    return Rejection(stage.name, first.reason, stage.evidence, first.bug, first.place, first.advice, first.code)


def verdict_of(
    stages: Sequence[Stage],
    *,
    ops: str = "",
    data: bytes = b"",
    kernel: str = "",
    coverage: Coverage | None = None,
) -> Verdict:
    """The verdict of these stages, in their order: accepted when there are any and every one is passed."""
    rejections = [rejection for stage in stages if (rejection := rejection_of(stage))]
    digest = hashlib.sha256(data).hexdigest() if data else ""
    accepted = bool(stages) and not rejections
    return Verdict(accepted, rejections[0] if rejections else None, tuple(stages), ops, digest, kernel, coverage)


def require(stage: Stage, bugs: Collection[str]) -> Stage:
    """The same stage for hosts that need more: what it noted or left open of these bugs rejects."""
    if not any(finding.bug in bugs for finding in stage.findings):
        return stage
    findings = tuple(replace(finding, level="reject") if finding.bug in bugs else finding for finding in stage.findings)
    return replace(stage, ok=False, findings=findings)


def honours_cgroups(stages: Iterable[Stage]) -> bool:
    """Whether the policy has cgroup callbacks, and so claims to honour weights and quotas of cgroups."""
    return any(name.startswith("cgroup_") for stage in stages for name in stage.callbacks)

# SPDX-License-Identifier: Apache-2.0
"""The project's records as an MCP client is told of them: cut, their texts marked as data, no path of this host."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median

from benchmarks.workloads import Workload, sizes_of
from control_plane.mcp.data import (
    Quoted,
    Speaker,
    knobs_of,
    last_of,
    named,
    named_or_none,
    place_of,
    quoted,
    quoted_source,
)
from control_plane.mcp.job_records import CommandSaid, CoverageSaid, Observed
from control_plane.mcp.limits import COMMANDS, FINDINGS, LOG_CHARACTERS, SITUATIONS, SOURCE_CHARACTERS, WARNINGS
from control_plane.mcp.records import (
    FindingSaid,
    GuardSaid,
    KnobOf,
    PolicySaid,
    PolicyWhole,
    RatioSaid,
    RejectionSaid,
    ScoreSaid,
    StageSaid,
    WorkloadSaid,
)
from policy_lake.coverage import Coverage
from policy_lake.model import Finding, Knob, Policy, Rejection, Stage
from policy_lake.profile import WorkloadProfile
from policy_lake.scores import Ratio, Score
from tasks.run.claims import claim_of


def of_workload(workload: Workload) -> WorkloadSaid:
    """A workload by what it is for and what its score compares."""
    return WorkloadSaid(
        id=named(workload.id), title=quoted(workload.title, "workload"), goal=quoted(workload.goal, "workload"),
        family=workload.family, metric=named(workload.metric), unit=named(workload.unit), direction=workload.direction,
        bound=named_or_none(workload.bound), cpus=workload.cpus, sizes=sizes_of(workload), seconds=workload.runs_s,
        guards=tuple(
            GuardSaid(metric=named(guard.metric), unit=named(guard.unit), direction=guard.direction, limit=guard.limit)
            for guard in workload.guards
        ),
    )  # fmt: skip


def of_policy(policy: Policy, relevance: float | None = None) -> PolicySaid:
    """What a policy's essay says of it."""
    said: Speaker = "policy"
    return PolicySaid(
        id=named(policy.id), origin=policy.origin, title=quoted(policy.title, said),
        summary=quoted(policy.summary, said), good_for=quoted(policy.good_for, said),
        weak_at=quoted(policy.weak_at, said), workloads=tuple(map(named, policy.workloads)), relevance=relevance,
    )  # fmt: skip


def of_whole_policy(policy: Policy) -> PolicyWhole:
    """A policy with its source."""
    return PolicyWhole(
        policy=of_policy(policy), knobs=of_knobs(policy.knobs),
        mechanisms={named(choice): named(value) for choice, value in policy.mechanisms},
        source=quoted_source(policy.source, SOURCE_CHARACTERS),
    )  # fmt: skip


def of_knobs(knobs: Iterable[Knob]) -> tuple[KnobOf, ...]:
    """What can be set, and to what."""
    return tuple(
        KnobOf(
            name=named(knob.name), kind=knob.kind, default=quoted(knob.default, "policy"),
            doc=quoted(knob.doc, "policy"), low=knob.low, high=knob.high, unit=named_or_none(knob.unit),
            count=knob.count,
        )
        for knob in knobs
    )  # fmt: skip


def of_ratio(ratio: Ratio) -> RatioSaid:
    return RatioSaid(median=ratio.median, ci95=ratio.ci95)


def of_score(score: Score) -> ScoreSaid:
    """A score with its medians; its pairs one by one are in the lake alone."""
    machine = score.provenance.machine if score.provenance else ""
    return ScoreSaid(
        id=named_or_none(score.id), workload=named(score.workload), policy=named(score.policy),
        knobs=knobs_of(score.knob_values), metric=named(score.metric), unit=named(score.unit),
        baseline=median(pair.baseline for pair in score.pairs), measured=median(pair.policy for pair in score.pairs),
        pairs=len(score.pairs), ratio=of_ratio(score.ratio), outcome=score.outcome, doubt=score.doubt,
        bound=finite(score.bound), detectable=finite(score.detectable), floor=finite(score.floor),
        guards={named(name): of_ratio(ratio) for name, ratio in score.ratios.items()},
        over={named(name): times for name, times in score.over.items()},
        also={named(name): number for name, number in score.also.items()},
        attached=score.attached, clock=score.clock, cpus=score.cpus, size=score.tier,  # type: ignore[arg-type]
        machine=quoted(machine, "lake") if machine else None, claim=quoted(claim_of(score), "lake"),
    )  # fmt: skip


def of_rejection(rejection: Rejection) -> RejectionSaid:
    """Why not, with the end of the evidence."""
    return RejectionSaid(
        stage=named(rejection.stage), code=rejection.code, bug=named_or_none(rejection.bug), basis=rejection.basis,
        place=place_of(rejection.place), reason=quoted(rejection.reason, "verifier"),
        advice=_or_none(rejection.advice, "verifier"), evidence=_end_of(rejection.evidence),
    )  # fmt: skip


def of_stage(stage: Stage) -> StageSaid:
    """One stage with its first findings, those that reject before the others."""
    ordered = sorted(stage.findings, key=lambda finding: finding.level != "reject")
    return StageSaid(
        name=named(stage.name), ok=stage.ok, seconds=round(stage.seconds, 3),
        findings=tuple(map(of_finding, ordered[:FINDINGS])), left_out=max(0, len(ordered) - FINDINGS),
        evidence=_end_of(stage.evidence),
    )  # fmt: skip


def of_finding(finding: Finding) -> FindingSaid:
    return FindingSaid(
        level=finding.level, code=finding.code, bug=named_or_none(finding.bug), place=place_of(finding.place),
        reason=quoted(finding.reason, "verifier"), advice=_or_none(finding.advice, "verifier"),
        outcome=finding.outcome,
        situations=tuple(quoted(situation, "verifier") for situation in finding.situations[:SITUATIONS]),
    )  # fmt: skip


def of_coverage(coverage: Coverage | None) -> CoverageSaid | None:
    if coverage is None:
        return None
    if coverage.unknown:
        return CoverageSaid(lines=None, lines_of=None, branches=None, branches_of=None)
    lines, branches = coverage.lines, coverage.branches
    return CoverageSaid(lines=lines.ran, lines_of=lines.of, branches=branches.ran, branches_of=branches.of)


def of_profile(profile: WorkloadProfile) -> Observed:
    """A profile with the commands that used most CPU time."""
    commands = sorted(profile.commands, key=lambda command: -command.cpu_ms)
    shown = {name for name in CommandSaid.model_fields if name != "comm"}
    return Observed(
        kind="observe", profile=named(profile.id), workload=named(profile.workload), size=profile.tier,  # type: ignore[arg-type]
        cpus=profile.cpus, clock=profile.clock, wall_s=profile.wall_s, cpu_s=profile.cpu_s,
        parallelism=profile.parallelism, wakeups_per_s=profile.wakeups_per_s, aim=profile.aim,
        goal=quoted(profile.goal, "workload"), text=quoted(profile.text, "guest", LOG_CHARACTERS),
        commands=tuple(
            CommandSaid(comm=quoted(one.comm, "guest"), **{name: getattr(one, name) for name in shown})
            for one in commands[:COMMANDS]
        ),
        left_out=max(0, len(commands) - COMMANDS),
    )  # fmt: skip


def warnings_of(texts: Sequence[str]) -> tuple[Quoted, ...]:
    return tuple(quoted(text, "log") for text in texts[:WARNINGS] if text)


def finite(number: float | None) -> float | None:
    """The number, or None for one that JSON has not."""
    return number if number is not None and math.isfinite(number) else None


def _or_none(text: str, said_by: Speaker) -> Quoted | None:
    return quoted(text, said_by) if text else None


def _end_of(evidence: str) -> Quoted | None:
    return last_of(evidence, "verifier", LOG_CHARACTERS) if evidence.strip() else None

# SPDX-License-Identifier: Apache-2.0
"""Stages into a verdict: a stage with one finding that rejects has failed, and the first such stage says why."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from policy_lake.codes import Code
from policy_lake.coverage import Coverage
from policy_lake.model import Finding, Rejection, Stage, Verdict
from verifier_vm.answers import answered


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
    return Rejection(
        stage.name, first.reason, stage.evidence, first.bug, first.place, first.advice, first.code, first.basis,
        first.witness,
    )  # fmt: skip


def verdict_of(
    stages: Sequence[Stage],
    *,
    ops: str = "",
    data: bytes = b"",
    kernel: str = "",
    coverage: Coverage | None = None,
) -> Verdict:
    """The verdict of these stages, in their order: accepted when there are any and every one is passed."""
    stages = answered(stages, coverage)
    rejections = [rejection for stage in stages if (rejection := rejection_of(stage))]
    digest = hashlib.sha256(data).hexdigest() if data else ""
    accepted = bool(stages) and not rejections
    return Verdict(accepted, rejections[0] if rejections else None, tuple(stages), ops, digest, kernel, coverage)


def merged_by_reason(stage: Stage) -> Stage:
    """The same stage with one finding for what it says in the same words of several places; evidence has them all."""
    places: dict[Finding, list[str]] = {}
    for finding in stage.findings:
        if finding.level != "reject":
            places.setdefault(replace(finding, place=""), []).append(finding.place)
    findings = [finding for finding in stage.findings if finding.level == "reject"]
    for finding, at in places.items():
        more = f" (and at {len(at) - 1} more place{'s' * (len(at) > 2)})" if len(at) > 1 else ""
        findings.append(replace(finding, place=at[0], reason=f"{finding.reason}{more}"))
    return replace(stage, findings=tuple(findings))


_LEVELS = ("reject", "suspicion", "unknown")  # notes are no open questions, and stay by themselves


def merged_by_line(source: Stage, later: Stage) -> tuple[Stage, Stage]:
    """Both stages, with one finding, the later one's, for what both say of a bug at one line: it tells both reasons."""
    said = {(finding.bug, finding.place): finding for finding in source.findings if finding.is_open}
    both = {(f.bug, f.place) for f in later.findings if f.level in _LEVELS and f.place} & said.keys()
    if not both:
        return source, later
    kept = tuple(f for f in source.findings if not (f.is_open and (f.bug, f.place) in both))
    findings = (
        _merged(f, said[f.bug, f.place]) if (f.bug, f.place) in both and f.level in _LEVELS else f
        for f in later.findings
    )
    return replace(source, findings=kept), replace(later, findings=tuple(findings))


def _merged(finding: Finding, said: Finding) -> Finding:
    level = min(finding.level, said.level, key=_LEVELS.index)
    if finding.reason == said.reason:
        return replace(finding, level=level)
    return replace(finding, level=level, reason=f"{finding.reason}; in its source: {said.reason}")


# What a host may need that no policy has to have: the bugs of which a note then rejects.
REQUIREMENTS = {"hotplug": "F30", "exit-record": "F35", "cgroups": "F41", "nice": "F16"}
# Of these a policy that has none of it is told in one line. Nice levels come with figures.
LACKED = {"hotplug": "hotplug callbacks", "exit-record": "an exit record", "cgroups": "weights and quotas of cgroups"}
HOTPLUG_CALLBACKS = frozenset(("cpu_online", "cpu_offline"))


def bugs_of(words: Iterable[str]) -> frozenset[str]:
    """The bugs that hosts with these needs (keys of REQUIREMENTS) do not bear."""
    return frozenset(REQUIREMENTS[word] for word in words)


def require(stage: Stage, bugs: Collection[str]) -> Stage:
    """The same stage for hosts that need more: what it noted of these bugs rejects. What is open is still no proof."""
    if not any(_noted(finding, bugs) for finding in stage.findings):
        return stage
    findings = (replace(finding, level="reject") if _noted(finding, bugs) else finding for finding in stage.findings)
    return replace(stage, ok=False, findings=tuple(findings))


def _noted(finding: Finding, bugs: Collection[str]) -> bool:
    return finding.level == "note" and finding.bug in bugs


def lacks(finding: Finding, stages: Collection[Stage]) -> str:
    """The need (a key of LACKED) of which a note says that the policy has nothing for it; empty for any other.

    What becomes of cgroups is another matter where it has callbacks for them, and so is what its .exit keeps.
    """
    need = next((need for need in LACKED if REQUIREMENTS[need] == finding.bug and finding.level == "note"), "")
    has_some = {"cgroups": honours_cgroups, "exit-record": records_its_end}.get(need)
    return "" if has_some is not None and has_some(stages) else need


def goes_on_with_hotplug(stages: Iterable[Stage]) -> bool:
    """Whether the policy has both callbacks without which the kernel ends it when a CPU goes or comes."""
    return any(set(stage.callbacks) >= HOTPLUG_CALLBACKS for stage in stages)


def honours_cgroups(stages: Iterable[Stage]) -> bool:
    """Whether the policy has cgroup callbacks, and so claims to honour weights and quotas of cgroups."""
    return any(name.startswith("cgroup_") for stage in stages for name in stage.callbacks)


def records_its_end(stages: Iterable[Stage]) -> bool:
    """Whether the policy has an exit callback, in which it may keep how it ended."""
    return any("exit" in stage.callbacks for stage in stages)

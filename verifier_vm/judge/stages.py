# SPDX-License-Identifier: Apache-2.0
"""From a guest's events to the stages `kernel`, `survive` and `fair` of a verdict."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from policy_lake.model import Finding, LostVMError, Stage, Verdict
from verifier_vm.judge.console import kernel_death, shorten_verifier_log
from verifier_vm.judge.fairness import ALONE, compare
from verifier_vm.judge.kernel_words import cause_of_exit
from verifier_vm.judge.loading import load_findings
from verifier_vm.judge.oracles import ExitRecord, Facts, left_cleanly, partly, read_exit_record, read_facts, survived
from verifier_vm.judge.readings import Reading, read_run
from verifier_vm.judge.suite import Part
from verifier_vm.verdict import stage_of, verdict_of

EVIDENCE_LINES = 40
EVIDENCE_BYTES = 8000
TIME_BOUND = re.compile(r"stall|lockup|stuck for|no progress|did not end in time|never ran")
Event = Mapping[str, Any]


def may_be_the_host(verdict: Verdict) -> bool:
    """Whether a rejection is one that a host too busy to run the guest could have caused."""
    found = verdict.rejection
    if found is None or found.stage == "kernel":
        return False
    return found.stage == "fair" or TIME_BOUND.search(found.reason) is not None


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the events of a job that began with `part.steps` of the same limit."""

    data: bytes
    part: Part
    limit_ms: int
    check_all: bool = False
    cgroups: bool = False

    def read(self, events: Sequence[Event], *, kernel: str) -> Verdict:
        """The verdict; LostVMError when the events are too few or make no sense."""
        stages: list[Stage] = []
        for stage in self._stages(events):
            stages.append(stage)
            if not stage.ok and not self.check_all:
                break
        return verdict_of(stages, ops=str(events[0].get("ops", "")), data=self.data, kernel=kernel)

    def _stages(self, events: Sequence[Event]) -> Iterator[Stage]:
        if not events:
            raise LostVMError("the guest reported no step")
        attach, rest = events[0], events[1:]
        log = shorten_verifier_log(str(attach.get("log", ""))).splitlines()
        yield _stage("kernel", _seconds(attach), tuple(load_findings(attach)), [*attach["kmsg"], *log])
        if not attach["ok"]:
            return
        if not rest:
            raise LostVMError("the guest reported an attached policy and then no end")
        facts = read_facts(attach)
        ours = [event for event in rest if ":" in event["label"] or event["verb"] != "run"]
        survive = self._survive_stage([event for event in ours if not event["label"].startswith("base:")], facts)
        yield survive
        policy, base = _readings(rest, "policy"), _readings(rest, "base")
        if not all(one.name in policy and (one.name in base or not one.base_s) for one in self.part.exercises):
            if survive.ok:
                raise LostVMError("the guest reported no end of the comparison with EEVDF")
            return
        seconds = sum(_seconds(event) for event in rest if event["label"].startswith("base:"))
        yield self._fair_stage(policy, base, facts, seconds)

    def _survive_stage(self, events: Sequence[Event], facts: Facts) -> Stage:
        detach = next((event for event in events if event["verb"] == "detach"), None)
        if detach is None:
            raise LostVMError("the guest reported an attached policy and then no end")
        record = read_exit_record(detach)
        found: list[Finding] = []
        evidence: list[str] = []
        for event in events:
            seen = list(self._of_one(event, detach, record, facts))
            found += seen
            if any(finding.level == "reject" for finding in seen):
                evidence += [*event["kmsg"], *detach["kmsg"], str(event.get("out", "")), str(event.get("err", ""))]
        return _stage("survive", sum(map(_seconds, events)), list(_once(found)), evidence)

    def _of_one(self, event: Event, detach: Event, record: ExitRecord, facts: Facts) -> Iterator[Finding]:
        if event["verb"] == "run":
            yield from survived(event, tuple(detach["kmsg"]), record, facts, self.limit_ms)
        elif event["verb"] == "detach":
            own = read_exit_record(event)
            # One that fell off is judged where it fell.
            if own.ended_well or not self._fell(event, detach):
                yield from left_cleanly(event, own, has_exit="exit" in facts.callbacks)
        elif event["verb"] == "attach":
            yield from load_findings(event)
        elif not event["ok"]:
            yield Finding("kernel", "reject", f"the load beside it could not be {event['verb']}ed", "W17")

    @staticmethod
    def _fell(event: Event, detach: Event) -> bool:
        return event is detach and event["label"] == ""

    def _fair_stage(self, policy: dict[str, Reading], base: dict[str, Reading], facts: Facts, seconds: float) -> Stage:
        found = (*partly(next(iter(policy.values()))), *compare(policy, base, facts, cgroups=self.cgroups))
        evidence = [
            f"{name}: {_told(policy[name])}" + (f"; EEVDF: {_told(base[name])}" if name in base else "")
            for name in policy
            if name in base or name in ALONE
        ]
        return _stage("fair", seconds, found, evidence)


def verdict_of_death(error: LostVMError, data: bytes) -> Verdict:
    """A rejection when the console tells how the guest's kernel died; otherwise the error itself is raised again."""
    death = kernel_death(error.console)
    if death is None:
        raise error
    cause = cause_of_exit(death)
    found = (Finding(cause.bug, "reject", f"the guest's kernel died: {death}", "kernel", cause.advice),)
    stage = _stage("survive", 0.0, found, error.console.splitlines()[-EVIDENCE_LINES:])
    return verdict_of((stage,), data=data)


def merged(verdicts: Sequence[Verdict]) -> Verdict:
    """One verdict of several guests: accepted if all accept; stages of one name become one."""
    stages: dict[str, Stage] = {}
    for stage in (stage for verdict in verdicts for stage in verdict.stages):
        known = stages.get(stage.name, Stage(stage.name, True, 0.0))
        evidence = [part for part in (known.evidence, stage.evidence) if part]
        findings = list(_once([*known.findings, *stage.findings]))
        stages[stage.name] = _stage(stage.name, known.seconds + stage.seconds, findings, evidence)
    rejection = next((verdict.rejection for verdict in verdicts if verdict.rejection), None)
    return replace(verdicts[-1], accepted=rejection is None, rejection=rejection, stages=tuple(stages.values()))


def _stage(name: str, seconds: float, findings: Sequence[Finding], evidence: Sequence[str]) -> Stage:
    lines = "\n".join(line for line in evidence if line.strip())
    return stage_of(name, seconds, findings, lines[-EVIDENCE_BYTES:])


def _once(findings: Sequence[Finding]) -> Iterator[Finding]:
    """Each bug at each place once: rounds and guests say the same again."""
    seen = set()
    for finding in findings:
        key = (finding.bug, finding.place, finding.level)
        if key not in seen:
            seen.add(key)
            yield finding


def _readings(events: Sequence[Event], role: str) -> dict[str, Reading]:
    ours = [event for event in events if event["verb"] == "run" and event["label"].startswith(f"{role}:")]
    return {reading.name: reading for reading in (read_run(event) for event in ours if event["ok"])}


def _seconds(event: Event) -> float:
    """Wall time where it was taken, else the guest's."""
    return float(event["wall_s"] if "wall_s" in event else event["seconds"])


def _told(reading: Reading) -> str:
    groups = ", ".join(
        f"{name} {group.run_ms:.0f} ms CPU, {group.delay_ms:.0f} ms waiting" for name, group in reading.groups.items()
    )
    return f"{groups} in {reading.wall_ms:.0f} ms"

# SPDX-License-Identifier: Apache-2.0
"""What a rollout leaves in the lake: its record with every window, and a lesson of what it came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from policy_lake.lake import Lake
from policy_lake.model import Lesson
from policy_lake.records import HostAudit
from policy_lake.records import Rollout as Record
from policy_lake.rollout import End, Judgement, Reading, RolloutDone, RolloutPlan, Step, StepDone, Why, Window
from policy_lake.show import logger
from tasks.rollout.page import judgement_line

log = logger(__name__)


@dataclass(slots=True)
class Evidence:
    """Keeps a rollout's record; each change is in the lake when the call returns."""

    lake: Lake
    record: Record

    @classmethod
    def begin(
        cls, lake: Lake, id: str, plan: RolloutPlan, hosts: Sequence[str], *, policy: str, workload: str,
        token_sha256: str,
    ) -> Evidence:  # fmt: skip
        """A rollout that begins now."""
        evidence = cls(lake, Record(id, workload, policy, token_sha256, tuple(hosts), plan, _now()))
        lake.put(evidence.record)
        return evidence

    def tell(self, step: Step, windows: Sequence[Window], judgement: Judgement) -> None:
        """Keep a block's windows."""
        self.record = replace(self.record, windows=(*self.record.windows, *windows))
        self.lake.put(self.record)
        taken = 1 + max((window.block for window in windows), default=0)
        log.info("step %s: %d of at most %d blocks; %s", step.name, taken, step.blocks, judgement_line(judgement))

    def end(self, done: RolloutDone, audits: Sequence[HostAudit] = ()) -> None:
        """Keep how it ended, the hosts' own words of it, and what a planner should know."""
        self.record = replace(self.record, done=done, ended=_now(), audits=tuple(audits))
        text = lesson_text(self.record)
        lessons = [Lesson(f"{self.record.id}-end", "", self.record.workload, self.record.policy, text)] if text else []
        self.lake.put(self.record, *lessons)


def lesson_text(record: Record) -> str:
    """One sentence for a planner; empty where the rollout says nothing of the policy, as when a host was lost."""
    done = record.done
    if done is None or done.end in (End.STOPPED, End.LOST, End.REFUSED):
        return ""
    if done.end is End.PROMOTED:
        return f"{record.policy} was promoted on {len(record.hosts)} hosts for {record.workload}: {_best(done)}."
    last = next((step for step in reversed(done.steps) if step.judgement), None)
    if done.why:
        return f"{record.policy} was taken back by {done.host} at step {done.at} of a rollout: {done.why}."
    assert last is not None and last.judgement is not None
    return f"{record.policy} was rolled back at step {done.at} though it was verified: {_harm(last, last.judgement)}."


def _harm(step: StepDone, judgement: Judgement) -> str:
    seen = next(
        one for one in judgement.readings if (one.metric, one.host) == (judgement.metric, judgement.host)
    )  # fmt: skip
    where = f" on {judgement.host}" if judgement.host else f" on {', '.join(step.hosts)}"
    return f"{judgement.metric} was {_times(seen)} the host's own scheduler's{where}"


def _best(done: RolloutDone) -> str:
    judged = [step.judgement for step in done.steps if step.judgement]
    if not judged or judged[-1].why is not Why.BETTER:
        return "every metric within its limit"
    seen = next(one for one in judged[-1].readings if one.metric == judged[-1].metric and not one.host)
    return f"{seen.metric} {_times(seen)} the host's own scheduler's, where below 1 is better"


def _times(seen: Reading) -> str:
    return f"{seen.factor:.2f} [{seen.low:.2f}, {'no limit' if seen.high is None else f'{seen.high:.2f}'}] times"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

# SPDX-License-Identifier: Apache-2.0
"""A rollout from its first step to its end, over the hosts; unless it is promoted it is taken back wherever it was.

Rolling back needs none of this before a promotion: a host's agent takes the policy off when its lease ends or its
breaker trips. So what is here may be killed at any moment.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from policy_lake.rollout import Arm, Decision, End, Judgement, RolloutDone, RolloutPlan, Step, StepDone, Window
from policy_lake.show import logger
from tasks.rollout.hosts import Host, HostError, HostLostError, RefusedError, TakenBackError, hosts_of
from tasks.rollout.judge import judge
from tasks.rollout.windows import arms

Answer = Literal["go on", "again", "stop"]
Tell = Callable[[Step, Sequence[Window], Judgement], None]
_ENDS: dict[type[HostError], End] = {
    RefusedError: End.REFUSED, TakenBackError: End.ROLLED_BACK, HostLostError: End.LOST
}  # fmt: skip
T = TypeVar("T")
log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A step to be done now, by calling `act`."""

    step: Step
    act: Callable[[], StepDone]


@dataclass(frozen=True, slots=True)
class Question:
    """A person decides: before a step that pauses (no judgement), or what becomes of one that is in doubt."""

    step: Step
    judgement: Judgement | None


Course = Generator["Attempt | Question", "StepDone | Answer", RolloutDone]


@dataclass(slots=True)
class Rollout:
    """A rollout: run it once. `tell` is told of each block's windows; `seed` is of the order of the arms."""

    plan: RolloutPlan
    hosts: Sequence[Host]
    tell: Tell
    seed: int = 0
    _done: list[StepDone] = field(default_factory=list)
    _on: list[Host] = field(default_factory=list)  # where the policy may be

    def course(self) -> Course:
        """Every step in order, and then the last one's hosts for good; returns how it ended.

        It asks whoever drives it for attempts and answers, as a trial does for runs: a flow has a task around each, and
        pauses itself for a person. HostErrors of an attempt are thrown in. Closing it takes the policy back.
        """
        at = ""
        try:
            for step in self.plan.steps:
                at = step.name
                if end := (yield from self._pass(step)):
                    return RolloutDone(end, tuple(self._done), at)
            self._keep(self.plan.steps[-1])
            return RolloutDone(End.PROMOTED, tuple(self._done), at)
        except HostError as error:
            return RolloutDone(_ENDS[type(error)], tuple(self._done), at, error.host, f"{error.code}: {error}")
        finally:
            self._take_back()

    def _keep(self, last: Step) -> None:
        """Where the last step was, for good. What was on one host alone, or on none, was a canary and ends here."""
        if last.hosts != "one" and last.kind != "shadow":
            self._each(hosts_of(last, self.hosts, self.plan), lambda host: host.keep(last))
            self._on.clear()

    def _pass(self, step: Step) -> Generator[Attempt | Question, StepDone | Answer, End | None]:
        """The step, again where a person wants it so. How it ended the rollout; None where it is passed."""
        if step.pause and (yield Question(step, None)) == "stop":
            return End.STOPPED
        while True:
            done = yield Attempt(step, lambda: self._try(step))
            assert isinstance(done, StepDone)
            self._done.append(done)
            if done.judgement is None or done.judgement.decision is Decision.PROMOTE:
                return None
            self._take_back()
            if done.judgement.decision is Decision.ROLL_BACK:
                return End.ROLLED_BACK
            answer = yield Question(step, done.judgement)
            if answer != "again":
                return End.STOPPED if answer == "stop" else None

    def _try(self, step: Step) -> StepDone:
        on = hosts_of(step, self.hosts, self.plan)
        ops = self._each(on, lambda host: host.try_out(step, self.plan))[0]
        judgement = None if step.kind == "shadow" else self._measured(step, on, ops)
        return StepDone(step.name, tuple(host.name for host in on), judgement)

    def _measured(self, step: Step, on: Sequence[Host], ops: str) -> Judgement:
        """Blocks of windows until they decide. One host more, where there is one, shows what changes by itself."""
        control = [host for host in self.hosts if host not in on][:1]
        windows: list[Window] = []
        beside: list[Window] = []
        judgement = judge(windows, ops, self.plan, step)
        for block, order in zip(range(step.blocks), arms(self.seed), strict=False):
            for arm in order:
                seen = self._windows(arm, block, step, on, control)
                windows += seen[: len(on)]
                beside += seen[len(on) :]
            judgement = judge(windows, ops, self.plan, step, control=beside)
            self.tell(step, windows[-2 * len(on) :], judgement)
            if judgement.decision is not Decision.GO_ON:
                break
        return judgement

    def _windows(self, arm: Arm, block: int, step: Step, on: Sequence[Host], control: Sequence[Host]) -> list[Window]:
        """One window of each host at the same time; the control's is as long, and never the policy's."""

        def of(host: Host) -> Window:
            return host.window(arm, block, step, self.plan, beside=host in control)

        return self._each((*on, *control), of)

    def _each(self, hosts: Sequence[Host], act: Callable[[Host], T]) -> list[T]:
        """The same on each host at once, in their order; the first failure, when all have come to an end."""
        self._on += [host for host in hosts if host not in self._on]
        with ThreadPoolExecutor(max(1, len(hosts))) as pool:
            return [done.result() for done in [pool.submit(act, host) for host in hosts]]

    def _take_back(self) -> None:
        """Off every host where it may be, of which no one that does not answer keeps the others waiting."""

        def off(host: Host) -> None:
            try:
                host.take_back()
            except HostError as error:
                log.warning("%s: not taken back by us: %s", host.name, error)

        on, self._on = self._on, []
        if on:
            with ThreadPoolExecutor(len(on)) as pool:
                list(pool.map(off, on))


def attempt_step(attempt: Attempt) -> StepDone:
    """One step over its hosts, as the work of a flow's task."""
    return attempt.act()


async def follow(
    course: Course, attempt: Callable[[Attempt], Awaitable[StepDone]], ask: Callable[[Question], Awaitable[Answer]]
) -> RolloutDone:
    """The whole course: `attempt` does a step, `ask` answers for a person. Whatever ends it takes the policy back."""
    try:
        item = next(course)
        while True:
            try:
                answer: StepDone | Answer = await (attempt(item) if isinstance(item, Attempt) else ask(item))
            except HostError as error:
                item = course.throw(error)
            else:
                item = course.send(answer)
    except StopIteration as end:
        done: RolloutDone = end.value
        return done
    finally:
        course.close()

# SPDX-License-Identifier: Apache-2.0
"""A rollout from its first step to its end, over the hosts; unless it is promoted it is taken back wherever it was.

Rolling back needs none of this: a host's agent takes the policy off when its lease ends or its breaker trips. So what
is here may be killed at any moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from policy_lake.rollout import Arm, Decision, End, Judgement, RolloutDone, RolloutPlan, Step, StepDone, Window
from policy_lake.show import logger
from tasks.rollout.hosts import Host, HostError, HostLostError, RefusedError, TakenBackError, hosts_of
from tasks.rollout.judge import judge
from tasks.rollout.windows import arms

Answer = Literal["go on", "again", "stop"]
Ask = Callable[[Step, Judgement | None], Answer]  # None: before a step that pauses
Tell = Callable[[Step, Sequence[Window], Judgement], None]
_ENDS: dict[type[HostError], End] = {
    RefusedError: End.REFUSED, TakenBackError: End.ROLLED_BACK, HostLostError: End.LOST
}  # fmt: skip
T = TypeVar("T")
log = logger(__name__)


@dataclass(slots=True)
class Rollout:
    """A rollout: run it once. `ask` a person, `tell` of each block's windows; `seed` is of the order of the arms."""

    plan: RolloutPlan
    hosts: Sequence[Host]
    ask: Ask
    tell: Tell
    seed: int = 0
    _done: list[StepDone] = field(default_factory=list)
    _on: list[Host] = field(default_factory=list)  # where the policy may be

    def run(self) -> RolloutDone:
        """Every step in order, and then every host for good; how it ended, at which step."""
        at = ""
        try:
            for step in self.plan.steps:
                at = step.name
                if end := self._step(step):
                    return RolloutDone(end, tuple(self._done), at)
            self._each(self.hosts, lambda host: host.keep(self.plan.steps[-1]))
            self._on.clear()
            return RolloutDone(End.PROMOTED, tuple(self._done), at)
        except HostError as error:
            return RolloutDone(_ENDS[type(error)], tuple(self._done), at, error.host, f"{error.code}: {error}")
        finally:
            self._take_back()

    def _step(self, step: Step) -> End | None:
        """How the step ended the rollout; None where it is passed."""
        if step.pause and self.ask(step, None) == "stop":
            return End.STOPPED
        on = hosts_of(step, self.hosts, self.plan)
        names = tuple(host.name for host in on)
        ops = self._each(on, lambda host: host.try_out(step))[0]
        if step.kind == "shadow":
            self._done.append(StepDone(step.name, names))
            return None
        while True:
            judgement = self._measured(step, on, ops)
            self._done.append(StepDone(step.name, names, judgement))
            if judgement.decision is Decision.PROMOTE:
                return None
            self._take_back()
            answer = "stop" if judgement.decision is Decision.ROLL_BACK else self.ask(step, judgement)
            if answer == "stop":
                return End.ROLLED_BACK if judgement.decision is Decision.ROLL_BACK else End.STOPPED
            if answer == "go on":
                return None

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
                log.warning("%s: not taken back by us (%s); its agent does so when the lease ends", host.name, error)

        on, self._on = self._on, []
        if on:
            with ThreadPoolExecutor(len(on)) as pool:
                list(pool.map(off, on))

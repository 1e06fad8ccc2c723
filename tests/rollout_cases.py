# SPDX-License-Identifier: Apache-2.0
"""Hosts that exist in a test alone, and plans for them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import exp

from policy_lake.rollout import Attached, Metric, RolloutDone, RolloutPlan, Step, StepDone, Window
from tasks.rollout.drive import Answer, Attempt, Question, Rollout, follow
from tasks.rollout.hosts import HostError

OPS = "candidate"
P99, RATE = Metric("p99_us", worst=1.25, critical=True), Metric("requests", "higher", worst=1.1, goal=True)
STEPS = (
    Step("shadow", "shadow"), Step("one", "full"), Step("some", "full", "some"), Step("all", "full", "all"),
)  # fmt: skip
PLAN = RolloutPlan("requests", STEPS, (P99, RATE))


@dataclass
class FakeHost:
    """A host whose p99 and rate under the policy are these factors of EEVDF's, with noise and a drift a block.

    `fails` is raised at the window of that number, or at a call of that name.
    """

    name: str
    p99: float = 0.8
    rate: float = 1.3
    noise: float = 0.02
    drift: float = 0.0
    fails: tuple[int | str, HostError] | None = None
    log: list[str] = field(default_factory=list)
    attached: str = ""
    seq: int = 0

    def _maybe_fail(self, at: int | str) -> None:
        if self.fails and self.fails[0] == at:
            raise self.fails[1]

    def _attach(self, ops: str) -> None:
        if ops != self.attached:
            self.seq += bool(ops)
            self.attached = ops

    def try_out(self, step: Step, plan: RolloutPlan) -> str:
        self.log.append(f"try {step.name}")
        self._maybe_fail("try_out")
        return OPS

    def window(self, arm, block, step, plan, *, beside=False) -> Window:
        number = sum(entry.startswith("window") for entry in self.log)
        self.log.append(f"window {step.name} {arm}")
        self._attach(OPS if arm == "policy" and not beside else "")
        self._maybe_fail(number)
        chance = random.Random(f"{self.name}{number}")
        seen = Attached(bool(self.attached), self.attached, self.seq)
        factor = {"p99_us": self.p99, "requests": self.rate} if self.attached else {}
        values = {
            name: base * factor.get(name, 1.0) * exp(chance.gauss(0, self.noise) + self.drift * number)
            for name, base in (("p99_us", 1000.0), ("requests", 500.0))
        }
        return Window(self.name, block, arm, seen, seen, plan.window_s - plan.settle_s, values)

    def keep(self, step: Step) -> None:
        self.log.append("keep")
        self._maybe_fail("keep")
        self._attach(OPS)

    def take_back(self) -> None:
        self.log.append("take back")
        self._maybe_fail("take_back")
        self._attach("")


def windows(host: FakeHost, blocks: int, plan: RolloutPlan = PLAN, *, beside: bool = False) -> list[Window]:
    """That many blocks of a host."""
    step = plan.steps[-1]
    return [
        host.window(arm, block, step, plan, beside=beside) for block in range(blocks) for arm in ("policy", "baseline")
    ]


def changed(seen: list[Window], index: int, **changes) -> list[Window]:
    """The same windows with one of them otherwise."""
    return [replace(window, **changes) if at == index else window for at, window in enumerate(seen)]


def run_here(rollout: Rollout, answer: Callable[[Question], Answer]) -> RolloutDone:
    """The whole course without a flow; `answer` is the person."""

    async def attempt(item: Attempt) -> StepDone:
        return item.act()

    async def ask(question: Question) -> Answer:
        return answer(question)

    return asyncio.run(follow(rollout.course(), attempt, ask))

# SPDX-License-Identifier: Apache-2.0
"""A host behind its agent (host_agent/): attached once, by a token that is used up, then paused and resumed in turns.

What the kernel had attached in a window is read from the samples that the agent took in it, not from what was asked.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

from policy_lake.errors import InfraError
from policy_lake.rollout import Arm, Attached, HostCount, RolloutPlan, Step, Window
from tasks.rollout.hosts import HostError, HostLostError, RefusedError, TakenBackError
from tasks.rollout.samples import MOST_METRICS, attached_in, counters_of, ended_of, means_of, own_p99s_s, p99_of

ATTACH_S = 60.0
LEASE_S = 30.0  # for which the agent keeps the policy without a word from here
# How far a token must let a policy go, by how many hosts the step that attaches it is on.
STAGES: Mapping[HostCount, str] = {"one": "canary", "some": "host", "all": "fleet"}
LOOK_S = 1.0  # between two questions, which also renew that
# The highest of few values is soon surpassed by chance. So of few the agent, which takes 1.25 times it, is told more:
# what it allows is twice the highest then.
MANY_READINGS, FEW_FACTOR = 20, 1.6
MOST_P99_S = 1e6  # that an agent takes
SAYS_WHY_S = 5.0  # in which an agent says why it took a policy off
# What an agent answers when the policy that should be there is gone: it took it back by itself.
_GONE = ("not_attached", "not_paused", "breaker", "stopped")


class Answer(Protocol):
    """What an agent answered."""

    @property
    def ok(self) -> bool: ...
    @property
    def code(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def fields(self) -> Mapping[str, Any]: ...


class Channel(Protocol):
    """A way to an agent."""

    def __call__(self, request: str, *, timeout_s: float = ..., **fields: Any) -> Answer:
        """Ask it; InfraError where no answer comes."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be attached: object, knobs as the loader takes them, and the tokens.

    An attachment uses one up, on each host for itself; pauses do not. `trust` is the request of that name, by which a
    host learns of the log and the revocations since it last heard; empty where whoever runs it sees to that.
    """

    tokens: tuple[bytes, ...]
    image: bytes
    knobs: tuple[str, ...]
    lease_s: float = LEASE_S
    trust: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class AgentHost:
    """One host. Not for several threads at once."""

    name: str
    ask: Channel
    order: Order
    wait: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _mode: dict[str, Any] = field(default_factory=dict)  # as which it is attached, or paused; empty: not
    _is_on: bool = False
    _sent: bool = False  # an attach whose policy may be there, whether or not its answer came
    _lifted: bool = False  # the lease, by which it would go by itself
    _stage: str = ""  # of the rollout, for which it is attached
    _used: int = 0
    _seq: int = 0
    _p99: str = ""  # the metric that is the workload's p99
    _base_s: float = 0.0  # the highest that it was under the host's own scheduler; 0: not measured
    _readings: int = 0  # of it
    _ops: str = ""

    def try_out(self, step: Step, plan: RolloutPlan) -> str:
        """See Host. What a step before attached is not tried again."""
        if not self._mode:
            self._find_metrics({metric.name for metric in plan.metrics}, plan.window_s)
            if self.order.trust:
                self._asked("trust", **self.order.trust)
            self._sent = True
            told = self._asked("attach", timeout_s=ATTACH_S, **self._payload(step), mode="shadow")
            self._ops = str(told.get("ops", ""))
        return self._ops

    def _find_metrics(self, wanted: set[str], most_s: float) -> None:
        """Waits until the host has told of each; RefusedError where it has not within `most_s`."""
        seen: set[str] = set()
        limit = self.clock() + most_s
        while missing := sorted(wanted - seen):
            for sample in self._samples():
                metrics = sample.get("metrics")
                seen |= set(islice(metrics, MOST_METRICS)) if isinstance(metrics, dict) else set()
            if wanted <= seen:
                return
            if self.clock() >= limit:
                known = ", ".join(sorted(str(name) for name in seen)[:20]) or "none"
                why = f"no metric {', '.join(missing)} within {most_s:g} s; what it measures: {known}"
                raise RefusedError(why, host=self.name, code="no_metric")
            self.wait(LOOK_S)

    def window(self, arm: Arm, block: int, step: Step, plan: RolloutPlan, *, beside: bool = False) -> Window:
        """See Host. Values are means of the samples in the window."""
        self._p99 = p99_of(plan)
        if not beside:
            if arm == "policy" and self._p99 and not self._base_s and not self._mode:
                self._measured(plan)  # before it is attached: the agent's own trip needs to know what it was
            self._switch(arm, step)
        seen, seconds = self._measured(plan)
        begin, end = [attached_in(sample) for sample in (seen[0], seen[-1])] if seen else [Attached(False)] * 2
        values, counters = means_of(seen), counters_of(seen)
        return Window(self.name, block, arm, begin, end, seconds if seen else 0.0, values, counters)

    def _measured(self, plan: RolloutPlan) -> tuple[list[Mapping[str, Any]], float]:
        """The samples of a window's time from now on, and how long it was, in s."""
        self._rest(plan.settle_s)
        self._samples()
        began, seen = self.clock(), list[Mapping[str, Any]]()
        while (left := began + plan.window_s - plan.settle_s - self.clock()) > 0:
            self._rest(min(LOOK_S, left))
            seen += self._samples()
        own = own_p99s_s(seen, self._p99)
        self._base_s, self._readings = max([self._base_s, *own]), self._readings + len(own)
        return seen, self.clock() - began

    def keep(self, step: Step) -> None:
        """See Host."""
        self._switch("policy", step)
        self._lifted = True
        self._asked("lease", lease=0)

    def take_back(self) -> None:
        """See Host. What is not there any more is taken back; where no attach was sent nothing is asked."""
        self._is_on, self._mode = False, {}
        if not self._sent:
            return
        try:
            limit = {"timeout_s": ATTACH_S} if self._lifted else {}  # it would stay
            self._asked("detach", reason="the rollout took it back", **limit)
        except HostError as error:
            left = "it stays there: on the host, touch /etc/schedcp/stop" if self._lifted else "it goes with its lease"
            raise type(error)(f"{error}; {left}", host=self.name, code=error.code) from error
        self._sent = self._lifted = False

    def _switch(self, arm: Arm, step: Step) -> None:
        """The policy on, as this step has it, or paused."""
        mode = {"mode": "partial", "cgroup": step.cgroups[0]} if step.cgroups else {"mode": "full"}
        if arm == "baseline":
            if self._is_on:
                self._asked("pause")
                self._is_on = False
        elif self._mode != mode:
            if self._mode:
                self.take_back()
            self._sent = True
            more = {**mode, **self._limit(), "lease": self.order.lease_s}
            told = self._asked("attach", timeout_s=ATTACH_S, **self._payload(step), **more)
            self._ops, self._is_on, self._mode = str(told.get("ops", "")), True, mode
            self._used, self._stage = self._used + 1, STAGES[step.hosts]
        elif not self._is_on:
            self._asked("unpause", timeout_s=ATTACH_S, **self._limit())
            self._is_on = True
        if arm == "policy" and self._stage != STAGES[step.hosts]:  # a later step of more hosts, under the same token
            self._asked("lease", lease=self.order.lease_s, stage=STAGES[step.hosts])
            self._stage = STAGES[step.hosts]

    def _limit(self) -> dict[str, Any]:
        """What the agent's own trip goes by: a p99 that the host has without the policy, too, is none of its doing."""
        if not self._base_s:
            return {}
        base_s = self._base_s * (1.0 if self._readings >= MANY_READINGS else FEW_FACTOR)
        return {"p99_base_s": min(base_s, MOST_P99_S), "p99_metric": self._p99}

    def _payload(self, step: Step) -> dict[str, Any]:
        order = self.order
        if self._used >= len(order.tokens):
            why = f"token number {self._used + 1} of {len(order.tokens)} is needed: each attachment uses one up"
            raise RefusedError(why, host=self.name, code="no_token")
        return {
            "token": base64.b64encode(order.tokens[self._used]).decode(), "knobs": list(order.knobs),
            "object": base64.b64encode(order.image).decode(), "stage": STAGES[step.hosts],
        }  # fmt: skip

    def _rest(self, seconds: float) -> None:
        """Wait, and be heard meanwhile, so that the agent knows that somebody watches."""
        limit = self.clock() + seconds
        while (left := limit - self.clock()) > 0:
            self.wait(min(LOOK_S, left))
            if left > LOOK_S:
                self._asked("status")

    def _samples(self) -> list[Mapping[str, Any]]:
        """The agent's samples that are new; TakenBackError where the policy should be on and is not."""
        told = self._asked("feedback", since=self._seq).get("samples")
        if not isinstance(told, list) or not all(isinstance(one, dict) for one in told):
            raise HostLostError("its samples are no list", host=self.name, code="bad_answer")
        for sample in told:
            if type(sample.get("seq")) is not int or sample["seq"] <= self._seq:
                raise HostLostError("its samples have no numbers in order", host=self.name, code="bad_answer")
            self._seq = sample["seq"]
        if self._is_on:
            status = self._asked("status")
            if status.get("status") != "running":
                raise self._taken_back(status)
        return told

    def _taken_back(self, status: Mapping[str, Any], code: str = "", why: str = "") -> TakenBackError:
        """With the agent's own reason, which it has a moment after the kernel has none of its policy any more."""
        limit = self.clock() + SAYS_WHY_S
        while not (ended := ended_of(status)) and self.clock() < limit:
            self.wait(LOOK_S)
            status = self._asked("status")
        code, why = ended or (code or str(status.get("status")), why or str(status.get("reason")))
        return TakenBackError(why[:300], host=self.name, code=code[:60])

    def _asked(self, request: str, **fields: Any) -> Mapping[str, Any]:
        try:
            answer = self.ask(request, **fields)
        except InfraError as error:
            raise HostLostError(str(error), host=self.name, code="silent") from error
        if answer.ok:
            return answer.fields
        if answer.code in _GONE and request in ("pause", "unpause", "lease"):
            raise self._taken_back(self._asked("status"), answer.code, answer.message)
        raise RefusedError(answer.message, host=self.name, code=answer.code)

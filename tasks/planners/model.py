# SPDX-License-Identifier: Apache-2.0
"""The planner that asks a language model, within a budget and a deadline. DSPy is imported with the first question."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from policy_lake.errors import InfraError
from policy_lake.knobs import NAME
from policy_lake.limits import ANSWER_PLANS, ANSWER_VALUES, LONGEST_NAME, REASON_CHARACTERS
from policy_lake.model import PolicyPlan
from policy_lake.show import for_prompt, logger, shortened
from tasks.planners.endpoint import ModelEndpoint, Usage, afford
from tasks.planners.protocol import PlanContext
from tasks.planners.selection import select_plans

if TYPE_CHECKING:
    from tasks.planners.ask import Reply
    from tasks.planners.question import Answer

ATTEMPTS = 3
FIRST_PAUSE_S = 0.5

Result = TypeVar("Result")

log = logger(__name__)


class ModelPlanner:
    """Plans by asking a model; `usage` sums up what all its calls have used."""

    def __init__(
        self, endpoint: ModelEndpoint, *, spent: Usage | None = None, keep: Callable[[Usage], None] | None = None
    ) -> None:
        self.endpoint = endpoint
        self.name = f"model:{endpoint.model}"
        self.usage = spent or Usage()
        self._keep = keep or (lambda _: None)

    def plan(self, context: PlanContext) -> list[PolicyPlan]:
        """The model's plans that are legal and new; the log tells of the others.

        Raises BudgetError before a call that could exceed the budget, InfraError when the endpoint gives no usable
        answer within `timeout_s`, and InputError when it refuses the key or does not know the model.
        """
        answers = [answer for answer in self._answers(context)[:ANSWER_PLANS] if self._sets_variables(answer)]
        return select_plans([self._stated(answer) for answer in answers], context)

    def _sets_variables(self, answer: Answer) -> bool:
        """Whether all that it sets are variables. Settings of the ops lie beside the knobs, and are a user's alone."""
        others = [chosen.knob for chosen in answer.knob_values[:ANSWER_VALUES] if not NAME.fullmatch(chosen.knob)]
        if others:
            log.warning("%s: plan dropped: no knob has the name %r", self.name, shortened(others[0], LONGEST_NAME))
        return not others

    def _answers(self, context: PlanContext) -> Sequence[Answer]:
        from tasks.planners import ask  # noqa: F401 - two seconds that are not the endpoint's to answer for

        deadline = time.monotonic() + self.endpoint.timeout_s
        attempt = 1
        while True:
            reply = self._reply(context, deadline)
            if reply.error is None:
                return reply.answers
            pause_s = FIRST_PAUSE_S * 2 ** (attempt - 1)
            if not reply.again or attempt == ATTEMPTS or time.monotonic() + pause_s >= deadline:
                raise reply.error
            attempt += 1
            log.warning("%s; trying again, %d of %d", reply.error, attempt, ATTEMPTS)
            time.sleep(pause_s)

    def _reply(self, context: PlanContext, deadline: float) -> Reply:
        """One call, afforded before and counted after, whatever becomes of it."""
        from tasks.planners.ask import ask, prepare

        endpoint, left_s = self.endpoint, deadline - time.monotonic()
        call = prepare(endpoint, context, left_s + 1)  # the later of two timeouts, only to end the thread
        afford(endpoint, self.usage, call.tokens_in, call.tokens_out)
        most = self.usage.plus(endpoint, call.tokens_in, call.tokens_out)
        before, self.usage = self.usage, most  # until it has ended well it may be at work on an answer
        self._keep(most)  # before the call: a process that dies in it has spent no less
        try:
            reply = _within(left_s, lambda: ask(endpoint, call))
        except TimeoutError:
            timeout = f"no answer within {endpoint.timeout_s:g} s"
            raise InfraError(f"model {endpoint.model} at {endpoint.url}: {timeout}") from None
        self.usage = before.plus(endpoint, *reply.used)
        self._keep(self.usage)
        return reply

    def _stated(self, answer: Answer) -> PolicyPlan:
        """The plan in the answer; its reason goes into lake, reports and later questions, and is cut to size here."""
        knob_values = {chosen.knob: chosen.value for chosen in answer.knob_values[:ANSWER_VALUES]}
        reason = for_prompt(" ".join(answer.reason[: 2 * REASON_CHARACTERS].split()), REASON_CHARACTERS)
        return PolicyPlan(shortened(answer.policy, LONGEST_NAME), knob_values, reason, self.name)


def _within(seconds: float, work: Callable[[], Result]) -> Result:
    """The result of the work, or TimeoutError: HTTP timeouts alone do not end a server that drips bytes.

    What a library raises there to end a thread or a process (SystemExit, a panic of compiled code) is an InfraError.
    """
    done: queue.SimpleQueue[tuple[Result | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            done.put((work(), None))
        except BaseException as error:
            done.put((None, error))

    threading.Thread(target=run, name="ask a model", daemon=True).start()  # a daemon does not hold up an exit
    try:
        result, error = done.get(timeout=max(seconds, 0.001))
    except queue.Empty:
        raise TimeoutError from None
    if error is not None and not isinstance(error, Exception):
        raise InfraError(f"the call ended in {type(error).__name__}: {error!s:.200}") from error
    if error is not None:
        raise error
    return result  # type: ignore[return-value]

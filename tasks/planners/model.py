# SPDX-License-Identifier: Apache-2.0
"""The planner that asks a language model, within a budget and a deadline. DSPy is imported with the first question."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from policy_lake.calls import Message, ModelCall
from policy_lake.errors import InfraError, SchedcpError
from policy_lake.limits import PROMPT_BYTES
from policy_lake.model import PolicyPlan
from policy_lake.show import logger
from tasks.planners.answers import Workshop
from tasks.planners.endpoint import Books, JsonForm, ModelEndpoint, afford
from tasks.planners.ladder import LADDER, Rungs, rungs_of
from tasks.planners.parts import feedback, malformed
from tasks.planners.protocol import PlanContext
from tasks.planners.records import call_record
from tasks.planners.sections import middle_out
from tasks.planners.taking import Taking
from tasks.planners.within import within

if TYPE_CHECKING:
    from tasks.planners.ask import Reply

ATTEMPTS = 3  # of one question, where what went wrong may mend by itself
REPAIRS = 3  # messages that follow the first question, each with what was wrong with the answer before
FIRST_PAUSE_S = 0.5
ANSWER_SHOWN = 14_000  # bytes of its own last answer that a model is shown again: a whole policy goes in
LESS: dict[JsonForm, JsonForm] = {"schema": "object", "object": "none"}

log = logger(__name__)


@dataclass(slots=True)
class _Talk:
    """One conversation: the question's parts, what was said since, and the plans that were taken."""

    context: PlanContext
    rungs: Rungs
    signature: Any
    prompt: str
    turns: tuple[Message, ...] = ()
    number: int = 1


class ModelPlanner:
    """Plans by asking a model; `usage` sums up what all its calls have used.

    With a workshop it may bring policies of its own, which are checked before they are plans. `instructions` are others
    than the built-in ones, and `program` says whose they are.
    """

    def __init__(
        self, endpoint: ModelEndpoint, *, books: Books | None = None, workshop: Workshop | None = None,
        instructions: str = "", program: str = "",
    ) -> None:  # fmt: skip
        self.endpoint = endpoint
        self.name = f"model:{endpoint.model}"
        self._books = books or Books()
        self.usage = self._books.spent
        self._workshop, self._instructions, self._program = workshop, instructions, program
        self._form: JsonForm = endpoint.json_form

    def plan(self, context: PlanContext) -> list[PolicyPlan]:
        """The model's plans that are legal and new; what is wrong with the others it is told, and may mend.

        Raises BudgetError before a first call that could exceed the budget, InfraError when the endpoint gives no
        usable answer, and InputError when it refuses the key or does not know the model. Once plans were taken, nothing
        that goes wrong later takes them away.
        """
        from tasks.planners.question import prompt_id, signature

        asked, rungs = signature(self._instructions), rungs_of(context)
        if self._workshop is None:
            rungs = replace(rungs, open=tuple(rung for rung in rungs.open if LADDER.index(rung) < 2))
        talk = _Talk(context, rungs, asked, prompt_id(asked))
        taking = Taking(context, rungs, self.name, self._workshop, talk.prompt)
        while talk.number <= 1 + REPAIRS:
            try:
                reply, call = self._answer(talk)
            except SchedcpError as error:
                if not taking.plans:
                    raise
                log.warning("%s: %s; the plans that it has stay", self.name, error)
                break
            if reply.error is not None:
                told = f"it is told, {talk.number} of {REPAIRS}" if talk.number <= REPAIRS else "it is asked no more"
                log.warning("%s; %s", reply.error, told)
                self._books.record(call)
                said, last_error = malformed(str(reply.error).partition(": ")[2]), reply.error
            else:
                fates, refusals = taking.take(reply.answers, call=call, usage=self.usage, priced=self.endpoint.priced)
                self._books.record(replace(call, fates=fates))
                if not taking.again(fates):
                    break
                said, last_error = feedback(fates, refusals, wanted=taking.room), None
            shown = Message("assistant", middle_out(reply.said, ANSWER_SHOWN))
            talk.turns = (shown, Message("user", said))
            talk.number += 1
        else:
            if last_error is not None and not taking.plans:
                raise last_error
        return taking.plans

    def _answer(self, talk: _Talk) -> tuple[Reply, ModelCall]:
        """The answer to one question, asked again where that may mend what went wrong; raises what cannot be mended."""
        from tasks.planners import ask  # noqa: F401 - two seconds that are not the endpoint's to answer for

        deadline = time.monotonic() + self.endpoint.timeout_s
        attempt = 1
        while True:
            reply, call = self._reply(talk, deadline)
            if reply.error is None or reply.again == "reword":
                return reply, call
            self._books.record(call)
            if reply.unsupported and self._form in LESS:
                self._form = LESS[self._form]
                continue
            pause_s = FIRST_PAUSE_S * 2 ** (attempt - 1)
            if not reply.again or attempt == ATTEMPTS or time.monotonic() + pause_s >= deadline:
                raise reply.error
            attempt += 1
            log.warning("%s; trying again, %d of %d", reply.error, attempt, ATTEMPTS)
            time.sleep(pause_s)

    def _reply(self, talk: _Talk, deadline: float) -> tuple[Reply, ModelCall]:
        """One call, afforded before and counted after, whatever becomes of it."""
        from tasks.planners.ask import Reply, ask, overhead, prepare
        from tasks.planners.shown import question

        endpoint, left_s = self.endpoint, deadline - time.monotonic()
        frame = overhead(talk.signature) + sum(len(turn.content.encode()) for turn in talk.turns)
        inputs = question(talk.context, talk.rungs, self._workshop, PROMPT_BYTES - frame)
        call = prepare(
            endpoint, talk.signature, inputs, left_s + 1,  # the later of two timeouts, only to end the thread
            turns=talk.turns, form=self._form, number=self.usage.calls,
        )  # fmt: skip
        afford(endpoint, self.usage, call.tokens_in, call.tokens_out, today=self._books.today())
        most = self.usage.plus(endpoint, call.tokens_in, call.tokens_out)
        before, self.usage = self.usage, most  # until it has ended well it may be at work on an answer
        self._books.keep(most)  # before the call: a process that dies in it has spent no less
        began = time.time()
        try:
            reply = within(left_s, lambda: ask(endpoint, call))
        except TimeoutError:
            timeout = f"no answer within {endpoint.timeout_s:g} s"
            error = InfraError(f"model {endpoint.model} at {endpoint.url}: {timeout}")
            reply = Reply(used=(call.tokens_in, call.tokens_out), error=error)
        self.usage = before.plus(endpoint, *reply.used)
        self._books.keep(self.usage)
        made = call_record(
            endpoint, talk.context, call.messages, reply, began=began, turn=talk.number, prompt=talk.prompt,
            program=self._program,
        )  # fmt: skip
        return reply, made

# SPDX-License-Identifier: Apache-2.0
"""One call to a model through DSPy: prepared, made, and its outcome in our terms. Importing it imports DSPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dspy

from policy_lake.errors import InfraError, InputError, SchedcpError
from policy_lake.limits import MODEL_TOKENS
from policy_lake.show import for_prompt
from tasks.planners.endpoint import ModelEndpoint
from tasks.planners.heard import Heard
from tasks.planners.protocol import PlanContext
from tasks.planners.question import Answer, NextPlans, question
from tasks.planners.transport import BoundedAdapter, engine_of

BYTES_PER_TOKEN = 2  # low on purpose: prose has four, JSON full of numbers has not
REASONING_TOKENS = 16_000  # DSPy 3.4 takes no less for models that think before they answer


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of one call: answers, or an error that a repetition may mend (`again`).

    `used` is the tokens (in, out) as the endpoint counts them, or the most they can be where it does not say.
    """

    answers: tuple[Answer, ...] = ()
    used: tuple[int, int] = (0, 0)
    error: SchedcpError | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """One question that is ready to be asked; `tokens_in` and `tokens_out` are the most it is thought to use.

    `heard` is what the endpoint answers with.
    """

    lm: Any
    engine: Any
    heard: Heard
    inputs: dict[str, object]
    tokens_in: int
    tokens_out: int


def prepare(endpoint: ModelEndpoint, context: PlanContext, timeout_s: float) -> Call:
    """The call for a context, not yet made."""
    inputs = question(context)
    messages = dspy.JSONAdapter().format(NextPlans, [], inputs)
    tokens_in = sum(len(str(message["content"]).encode()) for message in messages) // BYTES_PER_TOKEN
    engine, heard = engine_of(endpoint, timeout_s)
    try:
        lm, tokens_out = _lm(endpoint, engine, endpoint.answer_tokens), endpoint.answer_tokens
    except dspy.LMConfigurationError:
        lm, tokens_out = _lm(endpoint, engine, REASONING_TOKENS), REASONING_TOKENS
    return Call(lm, engine, heard, inputs, tokens_in, tokens_out)


def ask(endpoint: ModelEndpoint, call: Call) -> Reply:
    """Make the call once; whatever goes wrong in it comes back as a Reply."""
    with dspy.context(lm=call.lm, adapter=BoundedAdapter(), disable_history=True), dspy.track_usage() as tracker:
        try:
            answers = dspy.Predict(NextPlans)(**call.inputs).plans
            return Reply(tuple(answers), used=_used(tracker, call))
        except dspy.AdapterParseError as fault:
            message = _message(endpoint, "the answer is not in the form asked for", fault)
            return Reply(used=_used(tracker, call), error=InfraError(message), again=True)
        except (dspy.LMAuthError, dspy.LMUnsupportedModelError, dspy.LMConfigurationError) as fault:
            return Reply(error=InputError(_message(endpoint, "the request was refused", fault, call.heard)))
        except dspy.LMError as fault:
            again = dspy.is_retryable_lm_error(fault) and not call.heard.redirects
            # Neither refused by HTTP nor lost on the way: then there was an answer, and it has used what it used.
            made = getattr(fault, "status", None) is None and not isinstance(fault, dspy.LMTransportError)
            used = (call.tokens_in, call.tokens_out) if made else (0, 0)
            message = _message(endpoint, "no answer", fault, call.heard)
            return Reply(used=used, error=InfraError(message), again=again)
        except Exception as fault:  # of DSPy, of what it parses with, or for want of memory: the answer's doing
            what = f"the answer cannot be read ({type(fault).__name__})"
            return Reply(used=(call.tokens_in, call.tokens_out), error=InfraError(_message(endpoint, what, fault)))
        finally:
            call.lm.close()
            call.engine.close()


def _used(tracker: Any, call: Call) -> tuple[int, int]:
    """The tokens that the endpoint says it used; the most there can be where it says none, or nonsense."""
    try:
        counts = list(tracker.get_total_tokens().values())
        used_in, used_out = (
            sum(int(c.get(key) or 0) for c in counts) for key in ("prompt_tokens", "completion_tokens")
        )
    except (ValueError, TypeError, AttributeError, ArithmeticError):
        used_in = used_out = 0
    plausible = min(used_in, used_out) >= 0 and 0 < used_in + used_out <= MODEL_TOKENS.high
    return (used_in, used_out) if plausible else (call.tokens_in, call.tokens_out)


def _lm(endpoint: ModelEndpoint, engine: Any, answer_tokens: int) -> Any:
    return dspy.LM(
        f"openai/{endpoint.model}",
        engine=engine,
        cache=False,
        num_retries=0,  # each attempt is afforded and counted by itself
        max_tokens=answer_tokens,
    )


def _message(endpoint: ModelEndpoint, what: str, fault: Exception, heard: Heard | None = None) -> str:
    """One line on what went wrong, free of the key, which some servers repeat.

    What was heard says it better than DSPy, whose words are for programmers, unless it broke off on the way.
    """
    status, text = getattr(fault, "status", None), str(getattr(fault, "message", "") or fault)
    if heard and heard.status and (heard.redirects or not isinstance(fault, dspy.LMTransportError)):
        status, text = heard.status, heard.reason()
    elif "<" in text:  # a proxy's error page
        text = ""
    text = " ".join(text[:4000].split())
    if endpoint.api_key:
        text = text.replace(endpoint.api_key, "…")
    details = ": ".join(part for part in (what, f"HTTP {status}" if status else "", for_prompt(text, 200)) if part)
    return f"model {endpoint.model} at {endpoint.url}: {details}"

# SPDX-License-Identifier: Apache-2.0
"""One call to a model through DSPy: prepared, made, and its outcome in our terms. Importing it imports DSPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dspy

from policy_lake.errors import InfraError, InputError, SchedcpError
from tasks.planners.endpoint import ModelEndpoint
from tasks.planners.protocol import PlanContext
from tasks.planners.question import Answer, NextPlans, question

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
    """One question that is ready to be asked; `tokens_in` and `tokens_out` are the most it is thought to use."""

    lm: Any
    inputs: dict[str, object]
    tokens_in: int
    tokens_out: int


def prepare(endpoint: ModelEndpoint, context: PlanContext, timeout_s: float) -> Call:
    """The call for a context, not yet made."""
    inputs = question(context)
    messages = dspy.JSONAdapter().format(NextPlans, [], inputs)
    tokens_in = sum(len(str(message["content"]).encode()) for message in messages) // BYTES_PER_TOKEN
    try:
        lm, tokens_out = _lm(endpoint, endpoint.answer_tokens, timeout_s), endpoint.answer_tokens
    except dspy.LMConfigurationError:
        lm, tokens_out = _lm(endpoint, REASONING_TOKENS, timeout_s), REASONING_TOKENS
    return Call(lm, inputs, tokens_in, tokens_out)


def ask(endpoint: ModelEndpoint, call: Call) -> Reply:
    """Make the call once; failures of the endpoint come back as a Reply."""
    with dspy.context(lm=call.lm, adapter=dspy.JSONAdapter(), disable_history=True), dspy.track_usage() as tracker:
        try:
            answers = dspy.Predict(NextPlans)(**call.inputs).plans
            return Reply(tuple(answers), used=_used(tracker, call))
        except dspy.AdapterParseError as fault:
            message = _message(endpoint, "the answer is not in the form asked for", fault)
            return Reply(used=_used(tracker, call), error=InfraError(message), again=True)
        except (dspy.LMAuthError, dspy.LMUnsupportedModelError, dspy.LMConfigurationError) as fault:
            return Reply(error=InputError(_message(endpoint, "the request was refused", fault)))
        except dspy.LMError as fault:
            again = dspy.is_retryable_lm_error(fault)
            return Reply(error=InfraError(_message(endpoint, "no answer", fault)), again=again)
        finally:
            call.lm.close()


def _used(tracker: Any, call: Call) -> tuple[int, int]:
    counts = tracker.get_total_tokens().values()
    used_in, used_out = (sum(int(c.get(key) or 0) for c in counts) for key in ("prompt_tokens", "completion_tokens"))
    return (used_in, used_out) if used_in or used_out else (call.tokens_in, call.tokens_out)


def _lm(endpoint: ModelEndpoint, answer_tokens: int, timeout_s: float) -> Any:
    return dspy.LM(
        f"openai/{endpoint.model}",
        api_base=endpoint.url.rstrip("/"),
        api_key=endpoint.api_key or "none",  # local servers ask for none, DSPy does
        engine="lm15",
        cache=False,
        num_retries=0,  # each attempt is afforded and counted by itself
        max_tokens=answer_tokens,
        timeout=timeout_s,
    )


def _message(endpoint: ModelEndpoint, what: str, fault: Exception) -> str:
    """One line on what went wrong, free of the key, which some servers repeat."""
    status, text = getattr(fault, "status", None), " ".join(str(getattr(fault, "message", "") or fault).split())
    if "<" in text:  # a proxy's error page
        text = ""
    if endpoint.api_key:
        text = text.replace(endpoint.api_key, "…")
    details = ": ".join(part for part in (what, f"HTTP {status}" if status else "", text[:200]) if part)
    return f"model {endpoint.model} at {endpoint.url}: {details}"

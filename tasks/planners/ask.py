# SPDX-License-Identifier: Apache-2.0
"""One call to a model through DSPy: prepared, made, and its outcome in our terms. Importing it imports DSPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import dspy

from policy_lake.calls import Message
from policy_lake.errors import InfraError, InputError, SchedcpError
from policy_lake.limits import ANSWER_CHARACTERS, MODEL_TOKENS
from policy_lake.show import for_prompt
from tasks.planners.endpoint import JsonForm, ModelEndpoint
from tasks.planners.heard import Heard
from tasks.planners.question import Answer, schema
from tasks.planners.transport import BoundedAdapter, engine_of

BYTES_PER_TOKEN = 2  # low on purpose: prose has four, JSON full of numbers has not
REASONING_TOKENS = 16_000  # DSPy 3.4 takes no less for models that think before they answer
UNSUPPORTED = (400, 404, 415, 422, 501)  # what servers say to a form of answers that they do not know
Again = Literal["", "same", "reword"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of one call: answers, or an error that a repetition may mend (`again`).

    `used` is the tokens (in, out) as the endpoint counts them, or the most they can be where it does not say, which
    `counted` tells. `said` is the answer's text as it came. `again` is `same` for what may mend by itself, `reword`
    where the model is to be told what was wrong with its answer. `unsupported`: the form asked for may be the fault.
    """

    answers: tuple[Answer, ...] = ()
    used: tuple[int, int] = (0, 0)
    error: SchedcpError | None = None
    again: Again = ""
    said: str = ""
    counted: bool = False
    unsupported: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """One question that is ready to be asked; `tokens_in` and `tokens_out` are the most it is thought to use.

    `messages` are what will be sent, `heard` is what the endpoint answers with.
    """

    lm: Any
    engine: Any
    heard: Heard
    adapter: BoundedAdapter
    signature: Any
    inputs: dict[str, object]
    messages: tuple[Message, ...]
    tokens_in: int
    tokens_out: int


def overhead(signature: Any) -> int:
    """The bytes that the frame of a question takes, without its inputs."""
    empty = dict.fromkeys(signature.input_fields, "")
    return _bytes(dspy.JSONAdapter().format(signature, [], {**empty, "limit": 0}))


def prepare(
    endpoint: ModelEndpoint, signature: Any, inputs: dict[str, object], timeout_s: float, *,
    turns: Sequence[Message] = (), form: JsonForm = "schema", number: int = 0,
) -> Call:  # fmt: skip
    """The call, not yet made; `turns` are what was said in this conversation before, `number` counts calls from 0."""
    formats = {"schema": schema(), "object": {"type": "json_object"}, "none": None}
    adapter = BoundedAdapter([{"role": turn.role, "content": turn.content} for turn in turns], formats[form])
    messages = adapter.format(signature, [], inputs)
    tokens_in = _bytes(messages) // BYTES_PER_TOKEN
    engine, heard = engine_of(endpoint, timeout_s, number)
    try:
        lm, tokens_out = _lm(endpoint, engine, endpoint.answer_tokens), endpoint.answer_tokens
    except dspy.LMConfigurationError:
        lm, tokens_out = _lm(endpoint, engine, REASONING_TOKENS), REASONING_TOKENS
    told = tuple(Message(one["role"], str(one["content"])) for one in messages)
    return Call(lm, engine, heard, adapter, signature, inputs, told, tokens_in, tokens_out)


def ask(endpoint: ModelEndpoint, call: Call) -> Reply:
    """Make the call once; whatever goes wrong in it comes back as a Reply."""
    with dspy.context(lm=call.lm, adapter=call.adapter, disable_history=True), dspy.track_usage() as tracker:
        try:
            answers = dspy.Predict(call.signature)(**call.inputs).plans
            used, counted = _used(tracker, call)
            return Reply(tuple(answers), used=used, said=_said(endpoint, call), counted=counted)
        except dspy.AdapterParseError as fault:
            message = _message(endpoint, "the answer is not in the form asked for", fault)
            used, counted = _used(tracker, call)
            said = _said(endpoint, call)
            return Reply(used=used, error=InfraError(message), again="reword", said=said, counted=counted)
        except (dspy.LMAuthError, dspy.LMUnsupportedModelError, dspy.LMConfigurationError) as fault:
            error = InputError(_message(endpoint, "the request was refused", fault, call.heard))
            return Reply(error=error, said=_body(endpoint, call), unsupported=call.heard.status in UNSUPPORTED)
        except dspy.LMError as fault:
            again = dspy.is_retryable_lm_error(fault) and not call.heard.redirects
            # Neither refused by HTTP nor lost on the way: then there was an answer, and it has used what it used.
            made = getattr(fault, "status", None) is None and not isinstance(fault, dspy.LMTransportError)
            used = (call.tokens_in, call.tokens_out) if made else (0, 0)
            error_ = InfraError(_message(endpoint, "no answer", fault, call.heard))
            unsupported = call.heard.status in UNSUPPORTED
            said = _body(endpoint, call)
            return Reply(used=used, error=error_, again="same" if again else "", said=said, unsupported=unsupported)
        except Exception as fault:  # of DSPy, of what it parses with, or for want of memory: the answer's doing
            what = f"the answer cannot be read ({type(fault).__name__})"
            error_ = InfraError(_message(endpoint, what, fault))
            return Reply(used=(call.tokens_in, call.tokens_out), error=error_, said=_said(endpoint, call))
        finally:
            call.lm.close()
            call.engine.close()


def _said(endpoint: ModelEndpoint, call: Call) -> str:
    """The answer's text; the body where there was none in it."""
    return _without_key(endpoint, call.adapter.said[:ANSWER_CHARACTERS]) or _body(endpoint, call)


def _body(endpoint: ModelEndpoint, call: Call) -> str:
    return _without_key(endpoint, call.heard.body.decode(errors="replace"))


def _without_key(endpoint: ModelEndpoint, text: str) -> str:
    """Free of the key, which some servers repeat, and of what JSON cannot carry."""
    text = text.encode(errors="replace").decode()
    return text.replace(endpoint.api_key, "…") if endpoint.api_key else text


def _bytes(messages: Sequence[dict[str, Any]]) -> int:
    return sum(len(str(message["content"]).encode(errors="replace")) for message in messages)


def _used(tracker: Any, call: Call) -> tuple[tuple[int, int], bool]:
    """The tokens that the endpoint says it used, and True; the most there can be where it says none, or nonsense."""
    try:
        counts = list(tracker.get_total_tokens().values())
        used_in, used_out = (
            sum(int(c.get(key) or 0) for c in counts) for key in ("prompt_tokens", "completion_tokens")
        )
    except (ValueError, TypeError, AttributeError, ArithmeticError):
        used_in = used_out = 0
    plausible = min(used_in, used_out) >= 0 and 0 < used_in + used_out <= MODEL_TOKENS.high
    return ((used_in, used_out), True) if plausible else ((call.tokens_in, call.tokens_out), False)


def _lm(endpoint: ModelEndpoint, engine: Any, answer_tokens: int) -> Any:
    warmth = {} if endpoint.temperature is None else {"temperature": endpoint.temperature}
    return dspy.LM(
        f"openai/{endpoint.name}",
        engine=engine,
        cache=False,
        num_retries=0,  # each attempt is afforded and counted by itself
        max_tokens=answer_tokens,
        **warmth,
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

# SPDX-License-Identifier: Apache-2.0
"""Calls to a model, as the lake keeps them: what it was told, what it answered, what came of each part: a leaf."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from policy_lake.model import Pathway

# Of a part of an answer: it became a plan, its policy was refused, or it is no plan that may go on (illegal, tried).
FateKind = Literal["kept", "refused", "dropped"]
# Of a call: it has an answer in the form asked for, in another form, none, or the endpoint would not have it at all.
CallStatus = Literal["answered", "malformed", "failed", "refused"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation, as it was sent."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one part of an answer; `policy` is what it came to, `code` and `reason` why it went no further."""

    part: str
    rung: Pathway
    fate: FateKind
    policy: str = ""
    code: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One call: `messages` as they were sent, `answer` as it came, tokens, `usd` (None: no price is known).

    `turn` counts the calls of one conversation from 1. `prompt` is the digest of the instructions and of the form asked
    for, `program` who wrote these: empty for the built-in ones. `answered_by` says who wrote the answer where that is
    not the model: a cassette. `counted` is whether the endpoint itself said how many tokens there were. `started` is
    ISO 8601 in UTC. `reason` is why there is no answer to work with.
    """

    id: str
    run_id: str
    workload: str
    iteration: int
    turn: int
    started: str
    model: str
    url: str
    prompt: str
    program: str
    messages: tuple[Message, ...]
    answer: str
    status: CallStatus
    tokens_in: int
    tokens_out: int
    counted: bool
    usd: float | None
    latency_s: float
    reason: str = ""
    answered_by: str = ""
    fates: tuple[Fate, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelUse:
    """What calls came to: tokens in and out, seconds, dollars; `priced` is whether every one of them had a price."""

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    usd: float = 0.0
    priced: bool = True

    def plus(self, call: ModelCall) -> ModelUse:
        """The sum with one more."""
        return ModelUse(
            self.calls + 1, self.tokens_in + call.tokens_in, self.tokens_out + call.tokens_out,
            self.seconds + call.latency_s, self.usd + (call.usd or 0.0), self.priced and call.usd is not None,
        )  # fmt: skip

    @property
    def words(self) -> str:
        """The same for people."""
        cost = f"${self.usd:.4f}" if self.priced else "price unknown: only tokens are capped"
        what = f"{self.calls} call{'' if self.calls == 1 else 's'} to a model"
        return f"{what}: {self.tokens_in} tokens in, {self.tokens_out} out, {self.seconds:.1f} s, {cost}"


def use_of(calls: tuple[ModelCall, ...] | list[ModelCall]) -> ModelUse:
    """What these calls came to."""
    use = ModelUse()
    for call in calls:
        use = use.plus(call)
    return use

# SPDX-License-Identifier: Apache-2.0
"""Where a model answers, what it may cost, and what it has cost so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from policy_lake.calls import ModelCall
from policy_lake.errors import InputError, SchedcpError

JsonForm = Literal["schema", "object", "none"]


def url_fault(url: str) -> str:
    """What is wrong with an endpoint's address, which is not repeated for what may be in it; empty if nothing is."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and parts.hostname and "@" not in parts.netloc and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is none
        good = False
    plain = url.isascii() and url.isprintable() and " " not in url
    return "" if good and plain else "expected http(s)://host[:port]/v1 without a user name or password"


class BudgetError(SchedcpError):
    """The next call to the model could exceed its budget, so it was not made."""


@dataclass(frozen=True, slots=True)
class ModelEndpoint:
    """An OpenAI-compatible endpoint, `url` up to and with its version (https://host/v1), and its limits.

    `timeout_s` holds for one question with all its retries; the two maxima hold for a planner's whole life, those of a
    day for all planners together, `answer_tokens` for one reply. Prices are in US dollars per million tokens; where
    none is known (both 0, and not `free`) only the tokens are capped. `temperature` None leaves it to the server.
    `json_form` is what is asked for first: what a server does not take is asked of it no more. `cassette` is played in
    the endpoint's place, `record` is where its answers are kept. Raises InputError.
    """

    url: str
    model: str
    api_key: str = field(default="", repr=False)
    price_in_usd_per_mtok: float = 0.0
    price_out_usd_per_mtok: float = 0.0
    max_tokens_total: int = 200_000
    max_cost_usd: float = 1.0
    timeout_s: float = 120.0
    answer_tokens: int = 4096
    max_tokens_day: int = 0
    max_cost_usd_day: float = 0.0
    free: bool = False
    temperature: float | None = None
    json_form: JsonForm = "schema"
    cassette: Path | None = None
    record: Path | None = None

    def __post_init__(self) -> None:
        if fault := url_fault(self.url):
            raise InputError(f"model url: {fault}")
        if not self.name:
            raise InputError("model name: it is empty")
        if min(self.price_in_usd_per_mtok, self.price_out_usd_per_mtok, self.max_tokens_total, self.max_cost_usd) < 0:
            raise InputError(f"model {self.model}: prices and maxima must not be negative")
        if not self.timeout_s > 0 or self.answer_tokens < 1:
            raise InputError(f"model {self.model}: timeout_s and answer_tokens must be above 0")

    @property
    def name(self) -> str:
        """The model as its server knows it: `openai/` before it says no more than that its protocol is OpenAI's."""
        return self.model.removeprefix("openai/")

    @property
    def priced(self) -> bool:
        """Whether it is known what a call costs."""
        return self.free or self.price_in_usd_per_mtok > 0 or self.price_out_usd_per_mtok > 0

    def cost_usd(self, tokens_in: int, tokens_out: int) -> float:
        """The price of so many tokens."""
        return (tokens_in * self.price_in_usd_per_mtok + tokens_out * self.price_out_usd_per_mtok) / 1e6


@dataclass(frozen=True, slots=True)
class Usage:
    """Calls made and what they used, summed up."""

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float = 0.0

    def plus(self, endpoint: ModelEndpoint, tokens_in: int, tokens_out: int) -> Usage:
        """The sum with one more call."""
        usd = self.usd + endpoint.cost_usd(tokens_in, tokens_out)
        return Usage(self.calls + 1, self.tokens_in + tokens_in, self.tokens_out + tokens_out, usd)


@dataclass(slots=True)
class Books:
    """Where a planner's calls are written down: what was used before, what is used by now, each call, today's use."""

    spent: Usage = field(default_factory=Usage)
    keep: Callable[[Usage], None] = lambda _: None
    record: Callable[[ModelCall], None] = lambda _: None
    today: Callable[[], Usage] = Usage


NOTHING = Usage()


def afford(endpoint: ModelEndpoint, spent: Usage, tokens_in: int, tokens_out: int, *, today: Usage = NOTHING) -> None:
    """Raise BudgetError if a call of that size, on top of what is spent, could exceed a maximum.

    `today` is what all planners have spent since midnight, UTC; a day's maximum of 0 is none.
    """
    day = today.plus(endpoint, tokens_in, tokens_out)
    if 0 < endpoint.max_tokens_day < day.tokens_in + day.tokens_out:
        usage = f"{today.tokens_in + today.tokens_out} tokens are used today"
        raise BudgetError(f"model {endpoint.model}: {usage}, and a day's maximum is {endpoint.max_tokens_day}")
    if 0 < endpoint.max_cost_usd_day < day.usd:
        usage = f"${today.usd:.4f} is spent today"
        raise BudgetError(f"model {endpoint.model}: {usage}, and a day's maximum is ${endpoint.max_cost_usd_day:.4f}")
    after = spent.plus(endpoint, tokens_in, tokens_out)
    total = after.tokens_in + after.tokens_out
    if total > endpoint.max_tokens_total:
        usage = f"{spent.tokens_in + spent.tokens_out} tokens are used, and the next call could bring them to {total}"
        raise BudgetError(f"model {endpoint.model}: {usage}, over the maximum of {endpoint.max_tokens_total}")
    if after.usd > endpoint.max_cost_usd:
        cost = f"${spent.usd:.4f} is spent, and the next call could bring it to ${after.usd:.4f}"
        raise BudgetError(f"model {endpoint.model}: {cost}, over the maximum of ${endpoint.max_cost_usd:.4f}")

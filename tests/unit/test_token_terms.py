# SPDX-License-Identifier: Apache-2.0
"""The limits of what a token may say, each with a case on either side."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from token_cases import COVERAGE, REQUEST, refusal, sha

from policy_lake.coverage import Share, counted
from policy_lake.scores import Ratio
from verifier_vm.tokens.check import _other_time
from verifier_vm.tokens.dsse import strict_json
from verifier_vm.tokens.errors import Code, in_one_line
from verifier_vm.tokens.issue import Assigned, issue_token
from verifier_vm.tokens.revocation import RevocationList
from verifier_vm.tokens.statement import payload_of, refusal_of
from verifier_vm.tokens.terms import BreakerLimits, LogPlace, Provenance, Token, Tried

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ASSIGNED = Assigned(1, LogPlace(1, sha("before")), sha("checks"), NOW)
TOKEN, _ = issue_token(REQUEST, ASSIGNED, RevocationList(1))
TRIED = Tried(Share(2, 3), Share(19, 20), 95, sha("coverage"))
SURE = Ratio(1.2, (1.01, 1.3))
FAR = replace(TOKEN, rollout_limit="fleet", tier="full", ratio=SURE, coverage=TRIED)


def refused(token: Token) -> str:
    """The reason for which it authorises nothing; empty if it does."""
    found = refusal_of(token)
    assert found is None or (found.code is Code.TERMS and found.reason)
    return found.reason if found else ""


def test_these_tokens_are_in_order() -> None:
    assert [refused(token) for token in (TOKEN, FAR, replace(FAR, rollout_limit="host"))] == [""] * 3


@pytest.mark.parametrize("name", ["policy", "kernel", "audience", "verifier_version"])
def test_what_a_token_is_for_is_named(name: str) -> None:
    assert refused(replace(TOKEN, **{name: ""})) == f"{name} is empty"


@pytest.mark.parametrize("change", [
    lambda text: {"policy": text}, lambda text: {"workload": text}, lambda text: {"limits": ("", text)},
    lambda text: {"tried": (text,)}, lambda text: {"not_tried": (text,)},
    lambda text: {"provenance": Provenance(planner=text)}, lambda text: {"provenance": Provenance(model=text)},
])  # fmt: skip
def test_a_text_has_300_characters_at_most_and_can_be_printed(change) -> None:
    assert refused(replace(TOKEN, **change("x" * 300))) == ""
    assert "is longer than 300 characters" in refused(replace(TOKEN, **change("x" * 301)))
    assert "cannot be printed" in refused(replace(TOKEN, **change("a\x1b[2J")))


@pytest.mark.parametrize(
    ("good", "bad", "why"),
    [
        ({"expires": NOW + timedelta(days=30)}, {"expires": NOW + timedelta(days=30, seconds=1)}, "more than 30 days"),
        ({"breaker": BreakerLimits(30_000)}, {"breaker": BreakerLimits(30_001)}, "not in 1..30000"),
        ({"breaker": BreakerLimits(1)}, {"breaker": BreakerLimits(0)}, "not in 1..30000"),
        ({"breaker": BreakerLimits(p99_ratio=2.0)}, {"breaker": BreakerLimits(p99_ratio=2.01)}, "not in 1..2"),
        ({"breaker": BreakerLimits(p99_ratio=1.0)}, {"breaker": BreakerLimits(p99_ratio=0.99)}, "not in 1..2"),
        ({"provenance": Provenance(cost_usd=0.0)}, {"provenance": Provenance(cost_usd=-0.01)}, "cost_usd"),
        ({"provenance": Provenance(cost_usd=1e9)}, {"provenance": Provenance(cost_usd=float("inf"))}, "cost_usd"),
        ({"coverage": None}, {"provenance": Provenance(cost_usd=float("nan"))}, "cost_usd"),
    ],
)
def test_a_term_holds_up_to_its_limit(good, bad, why: str) -> None:
    assert refused(replace(TOKEN, **good)) == "" and why in refused(replace(TOKEN, **bad))


def test_a_breaker_whose_limits_nobody_gives_has_these() -> None:
    assert (BreakerLimits().stall_ms, BreakerLimits().p99_ratio) == (5_000, 1.25)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ({"lines": Share(0, 3), "branches": Share(0, 1)}, {"lines": Share(-1, 3)}),
        ({"lines": Share(3, 3), "branches": Share(1, 1)}, {"branches": Share(2, 1)}),
        ({"lines": Share(0, 0), "branches": Share(0, 0)}, {"lines": Share(1, 0)}),
        ({"min_percent": 0}, {"min_percent": -1}), ({"min_percent": 100}, {"min_percent": 101}),
        ({"sha256": "a" * 64}, {"sha256": "a" * 63}), ({}, {"lines": Share(4, 3), "sha256": "none", "min_percent": -1}),
    ],
)  # fmt: skip
def test_a_coverage_is_shares_a_percentage_and_a_digest(good, bad) -> None:
    assert refused(replace(TOKEN, coverage=replace(TRIED, **good))) == ""
    assert refused(replace(TOKEN, coverage=replace(TRIED, **bad))) == "its coverage is no coverage"


@pytest.mark.parametrize("limit", ["host", "fleet"])
@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"coverage": None}, "the coverage that is asked for"), ({"tier": "short"}, "the full tier"),
        ({"coverage": replace(TRIED, branches=Share(949, 1000))}, "the coverage that is asked for"),
        ({"coverage": replace(TRIED, branches=Share(950, 1000))}, ""),
        ({"coverage": replace(TRIED, branches=Share(951, 1000))}, ""),
        ({"ratio": None, "score_sha256": ""}, "surely above 1"), ({"ratio": Ratio(1.2, (1.0, 1.4))}, "surely above 1"),
        ({"ratio": Ratio(1.2, (0.9, 2.5))}, "surely above 1"), ({"ratio": Ratio(1.2, (1.001, 1.4))}, ""),
    ],
)  # fmt: skip
def test_a_rollout_beyond_the_canary_needs_more_than_one_at_it(limit, change, why: str) -> None:
    reason = refused(replace(FAR, rollout_limit=limit, **change))
    assert reason.endswith(why) and bool(reason) == bool(why)
    assert refused(replace(FAR, rollout_limit="canary", **change)) == ""


def test_a_statement_names_the_reports_that_there_are() -> None:
    def reports(token: Token) -> dict[str, str]:
        told = strict_json(payload_of(token))["predicate"]["inputAttestations"]
        return {one["uri"].rpartition(":")[2]: one["digest"]["sha256"] for one in told}

    stages = {stage.name: stage.sha256 for stage in TOKEN.stages}
    assert reports(FAR) == {**stages, "score": FAR.score_sha256, "coverage": TRIED.sha256}
    assert reports(replace(FAR, coverage=None, score_sha256="", ratio=None)) == stages


def test_a_token_holds_from_two_minutes_before_it_was_issued_to_its_end() -> None:
    second = timedelta(seconds=1)
    held = (NOW - timedelta(minutes=2), NOW, TOKEN.expires - second)
    assert [_other_time(TOKEN, now) for now in held] == [None] * 3
    early, late = _other_time(TOKEN, held[0] - second), _other_time(TOKEN, TOKEN.expires)
    assert early and late and (early.code, late.code) == (Code.NOT_YET_VALID, Code.EXPIRED)


@pytest.mark.parametrize(
    ("programs", "never_ran"),
    [(("a",), ("b",)), (("a", "a"), ()), (("a", "a"), ("b",))],
    ids=["unknown", "twice", "both"],
)
def test_a_coverage_whose_callbacks_contradict_each_other_gets_no_token(programs, never_ran) -> None:
    told = counted(programs, COVERAGE.files, COVERAGE.conditions, never_ran)
    with refusal(Code.TERMS):
        issue_token(replace(REQUEST, coverage=told), ASSIGNED, RevocationList(1))
    sound = counted(("a", "b"), COVERAGE.files, COVERAGE.conditions, ("b",))
    assert issue_token(replace(REQUEST, coverage=sound), ASSIGNED, RevocationList(1))


def test_a_number_has_twenty_digits_at_most() -> None:
    assert strict_json(b"9" * 20) == 10**20 - 1 and strict_json(b"-" + b"9" * 19) == 1 - 10**19
    for digits in (b"9" * 21, b"-" + b"9" * 20):
        with pytest.raises(ValueError, match="a number has 21 digits"):
            strict_json(digits)


def test_an_error_is_told_in_one_line_of_200_characters() -> None:
    assert in_one_line("a\n  b\t c") == "a b c"
    assert in_one_line("x" * 200) == "x" * 200 == in_one_line("x" * 201)

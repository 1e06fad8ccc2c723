# SPDX-License-Identifier: Apache-2.0
"""A model's budget to the token and the cent, its attempts and its deadline, without an endpoint."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import threading
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from planner_cases import context

from policy_lake.calls import ModelCall
from policy_lake.errors import InfraError, InputError
from policy_lake.limits import MODEL_TOKENS, REASON_CHARACTERS
from policy_lake.model import PolicyPlan
from tasks.planners import model
from tasks.planners.choose import ModelFirst, planner
from tasks.planners.endpoint import BudgetError, ModelEndpoint, Usage, afford
from tasks.planners.heard import Heard
from tasks.planners.model import ModelPlanner
from tasks.planners.parts import reason_of
from tasks.planners.within import within

PRICES = "LITELLM_LOCAL_MODEL_COST_MAP"
HOST = ModelEndpoint("http://host/v1", "tiny")
PAID = ModelEndpoint("http://host/v1", "tiny", price_in_usd_per_mtok=2.0, price_out_usd_per_mtok=10.0)


def test_a_call_may_bring_the_budget_to_its_maximum_and_not_beyond() -> None:
    tight = replace(HOST, max_tokens_total=100)
    afford(tight, Usage(1, 50, 20, 0.0), 20, 10)
    with pytest.raises(BudgetError, match=r"70 tokens are used, .* to 101, over the maximum of 100"):
        afford(tight, Usage(1, 50, 20, 0.0), 20, 11)
    cents = replace(PAID, max_cost_usd=0.5)
    afford(cents, Usage(usd=0.25), 75_000, 10_000)
    with pytest.raises(BudgetError, match=r"\$0\.2500 is spent"):
        afford(cents, Usage(usd=0.25), 75_000, 10_001)


def test_usage_is_the_sum_and_costs_what_the_prices_say() -> None:
    assert Usage(1, 2, 3, 4.0).plus(PAID, 1_000_000, 500_000) == Usage(2, 1_000_002, 500_003, 11.0)
    assert HOST.cost_usd(10**9, 10**9) == 0.0 and "secret" not in repr(replace(HOST, api_key="secret"))
    assert (HOST.max_tokens_total, HOST.max_cost_usd, HOST.timeout_s, HOST.answer_tokens) == (200_000, 1.0, 120.0, 4096)
    assert (Usage().calls, Usage().tokens_in, Usage().tokens_out, Usage().usd) == (0, 0, 0, 0.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://host/v1"}, {"url": "http://"}, {"url": "https://me@host/v1"}, {"model": ""},
        {"url": "http://host:0/v1"}, {"url": "http://host:70000/v1"}, {"url": "http://[::1/v1"},
        {"url": "http://hö/v1"}, {"url": "http://host/v\x7f"}, {"url": "http://host/v 1"},
        {"price_in_usd_per_mtok": -0.1}, {"price_out_usd_per_mtok": -0.1}, {"max_tokens_total": -1},
        {"max_cost_usd": -0.1}, {"timeout_s": 0.0}, {"timeout_s": -1.0}, {"timeout_s": float("nan")},
        {"answer_tokens": 0},
    ],
)  # fmt: skip
def test_an_endpoint_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"^model "):
        ModelEndpoint(**({"url": "http://host/v1", "model": "tiny"} | wrong))


def test_an_endpoint_at_its_limits_is_none_of_bad_input() -> None:
    least = {"max_tokens_total": 0, "max_cost_usd": 0.0, "timeout_s": 0.001, "answer_tokens": 1}
    assert ModelEndpoint("https://host:1/v1", "tiny", **least).answer_tokens == 1  # type: ignore[arg-type]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A planner whose calls come to these replies; `seen` counts them and the pauses between."""
    seen = SimpleNamespace(replies=[], pauses=[], now=0.0, calls=0)

    def reply(self: Any, talk: Any, deadline: float) -> Any:
        seen.calls += 1
        seen.deadline = deadline
        return seen.replies.pop(0), CALL

    def sleep(seconds: float) -> None:
        seen.pauses.append(seconds)
        seen.now += seconds

    monkeypatch.setattr(ModelPlanner, "_reply", reply)
    monkeypatch.setattr(model, "time", SimpleNamespace(monotonic=lambda: seen.now, sleep=sleep))
    return seen


def failed(*, again: bool) -> Any:
    error = InfraError("busy")
    return SimpleNamespace(error=error, again="same" if again else "", answers=(), said="", unsupported=False)


RR = SimpleNamespace(
    rung="reuse", policy="rr", knob_values=[], choices=[], slots=None, edits=[], source="", reason="why"
)
DONE = SimpleNamespace(error=None, again="", answers=(RR,), said="", unsupported=False)
CALL = ModelCall("c", "r", "w", 1, 1, "", "tiny", "", "", "", (), "", "answered", 0, 0, True, None, 0.0)


def test_a_failure_that_may_mend_is_tried_three_times_with_longer_pauses(
    asked: Any, caplog: pytest.LogCaptureFixture
) -> None:
    asked.replies = [failed(again=True)] * 3
    with pytest.raises(InfraError, match="busy"):
        ModelPlanner(HOST).plan(context())
    assert re.findall(r"busy; trying again, (.*)", caplog.text) == ["2 of 3", "3 of 3"]
    assert (asked.calls, asked.pauses, asked.deadline) == (3, [0.5, 1.0], 120.0)
    asked.replies = [failed(again=True), DONE]
    assert [plan.policy for plan in ModelPlanner(HOST).plan(context())] == ["rr"] and asked.calls == 5


def test_one_that_may_not_mend_or_that_time_forbids_is_told_at_once(asked: Any) -> None:
    asked.replies = [failed(again=False)]
    with pytest.raises(InfraError):
        ModelPlanner(HOST).plan(context())
    for timeout_s, calls in ((0.5, 1), (0.6, 2)):
        asked.replies, asked.calls, asked.now = [failed(again=True)] * 2, 0, 0.0
        with pytest.raises(InfraError):
            ModelPlanner(replace(HOST, timeout_s=timeout_s)).plan(context())
        assert asked.calls == calls


def test_work_that_takes_too_long_is_left_and_its_errors_are_its_own() -> None:
    release = threading.Event()
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        within(0.05, lambda: release.wait(5))
    assert time.monotonic() - begun < 3
    with pytest.raises(TimeoutError):
        within(-1.0, lambda: release.wait(5))
    with pytest.raises(ZeroDivisionError):
        within(5.0, lambda: 1 // 0)
    assert within(5.0, lambda: 7) == 7
    threads = [thread for thread in threading.enumerate() if thread.name == "ask a model"]
    assert threads and all(thread.daemon for thread in threads)
    release.set()


def test_the_model_s_plans_come_first_and_the_rest_is_filled_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert planner().name == "embedded" and planner(HOST).name == "model:tiny"
    both = ModelFirst(HOST)
    own = [PolicyPlan("rr", {}, "why", "model:tiny"), PolicyPlan("ljf", {"slice_ns": 20_000_000}, "why", "model:tiny")]
    both._model = SimpleNamespace(plan=lambda here: own, usage=Usage(3))  # type: ignore[assignment]
    made = both.plan(context(limit=4))
    assert made[:2] == own and len(made) == 4 and both.usage == Usage(3)
    assert all(plan.planner == "embedded" and "without the model" not in plan.reason for plan in made[2:])
    assert [plan.policy for plan in both.plan(context(limit=2))] == ["rr", "ljf"]
    own[:] = [replace(plan, planner="model:tiny") for plan in planner().plan(context(limit=2))]
    assert len(both.plan(context(limit=4))) == 4, "what the embedded planner repeats is not all that it has"


def test_an_answer_comes_from_no_cache() -> None:
    import dspy

    from tasks.planners import question

    assert question.NextPlans
    assert (dspy.cache.enable_disk_cache, dspy.cache.enable_memory_cache) == (False, False)


def test_a_message_is_one_short_line_without_key_or_page() -> None:
    from tasks.planners.ask import _message

    keyed = replace(HOST, api_key="sesame")
    fault: Any = SimpleNamespace(status=500, message="no\n  room for sesame" + "x" * 300)
    said = _message(keyed, "no answer", fault)
    assert said.startswith("model tiny at http://host/v1: no answer: HTTP 500: no room for …x") and len(said) < 270
    assert _message(HOST, "no answer", SimpleNamespace(message="<html>")) == "model tiny at http://host/v1: no answer"  # type: ignore[arg-type]
    assert _message(HOST, "no answer", ValueError("odd")).endswith("no answer: odd")
    assert said.endswith("x…") and said.count("x") == 200 - len("no room for ……")
    assert _message(HOST, "no answer", ValueError("odd"), Heard()).endswith("no answer: odd"), "nothing was heard"


def test_what_an_endpoint_counts_is_believed_where_it_can_be() -> None:
    from tasks.planners.ask import _used

    call: Any = SimpleNamespace(tokens_in=70, tokens_out=7)
    most = int(MODEL_TOKENS.high or 0)
    for counts, used in (
        ({}, (70, 7)),
        ({"a": {"prompt_tokens": 5}}, (5, 0)),
        ({"a": {"prompt_tokens": 1}}, (1, 0)),
        ({"a": {"completion_tokens": 4}, "b": {"prompt_tokens": None, "completion_tokens": 2}}, (0, 6)),
        ({"a": {"prompt_tokens": 0, "completion_tokens": None}}, (70, 7)),
        ({"a": {"prompt_tokens": "many"}}, (70, 7)),
        ({"a": {"prompt_tokens": [1]}}, (70, 7)),
        ({"a": {"prompt_tokens": float("inf")}}, (70, 7)),
        ({"a": None}, (70, 7)),
        ({"a": {"prompt_tokens": -1, "completion_tokens": 5}}, (70, 7)),
        ({"a": {"prompt_tokens": most - 1, "completion_tokens": 1}}, (most - 1, 1)),
        ({"a": {"prompt_tokens": most, "completion_tokens": 1}}, (70, 7)),
    ):
        tracker = SimpleNamespace(get_total_tokens=lambda counts=counts: counts)
        assert _used(tracker, call) == (used, used != (70, 7))


def test_a_reason_is_cut_only_where_its_words_are_too_many() -> None:
    answer: Any = SimpleNamespace(policy="rr", knob_values=[], reason="why" + " " * REASON_CHARACTERS + "not")
    assert reason_of(answer) == "why not"
    answer.reason = "w" * (REASON_CHARACTERS + 1)
    assert len(reason_of(answer)) <= REASON_CHARACTERS


def test_dspy_is_imported_with_the_first_question() -> None:
    code = "import sys; sys.path[:0] = sys.argv[1:]; import tasks.planners.model; print('dspy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, *sys.path], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize(("before", "after"), [(None, "true"), ("False", "False")])
def test_a_list_of_prices_is_fetched_only_where_the_user_says_so(
    monkeypatch: pytest.MonkeyPatch, before: str | None, after: str
) -> None:
    from tasks.planners import question

    monkeypatch.setenv(PRICES, before or "")
    if before is None:
        monkeypatch.delenv(PRICES)
    runpy.run_path(question.__file__)
    assert os.environ[PRICES] == after

# SPDX-License-Identifier: Apache-2.0
"""A conversation with a model: what becomes of each part of an answer, what is said back, and when it ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from planner_cases import context, policy, score
from planner_endpoint import Endpoint, error, plans, send, serving, text

from policy_lake.calls import ModelCall
from policy_lake.errors import InfraError
from policy_lake.limits import PROMPT_BYTES
from policy_lake.model import Authored, Finding
from tasks.planners import model, taking
from tasks.planners.answers import FillSlots, Made, Making, Patch, Refused, Write
from tasks.planners.choose import planner
from tasks.planners.endpoint import Books, Usage
from tasks.planners.model import ModelPlanner


@dataclass
class Shop:
    """A workshop of the test's own, which refuses what `refuses` names and makes the rest."""

    refuses: str = "broken"
    asked: list[tuple[Making, Authored]] = field(default_factory=list)
    guide: str = "\n".join(f"rule {n}" for n in range(20))
    primitives: str = "sx/dsq.h: queues"
    choices: str = "order: fifo, vtime"

    def make(self, making: Making, title: str, *, known: Any, authored: Authored) -> Made | Refused:
        self.asked.append((making, authored))
        text = making.source if isinstance(making, Write) else repr(making)
        if self.refuses in text:
            finding = Finding("F03", "reject", "a task is lost", "mine.bpf.c:7", "insert it into a queue")
            return Refused("object", "static", "a task is lost", (finding,), "mine.bpf.c:7: error", text)
        made = policy(f"mine_m{len(self.asked)}", source=text)
        return Made(replace(made, origin="model", authored=authored))


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Endpoint]]:
    monkeypatch.setattr(model, "FIRST_PAUSE_S", 0.01)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serving() as start:
        yield start


def says(*parts: dict[str, Any]) -> Any:
    return text(json.dumps({"plans": list(parts)}))


def write(source: str, **more: Any) -> dict[str, Any]:
    return {"rung": "write", "source": source, "reason": "why", **more}


def talked(server: Endpoint, shop: Shop | None = None, **more: Any) -> tuple[list[Any], list[ModelCall], ModelPlanner]:
    calls: list[ModelCall] = []
    asked = ModelPlanner(server.says(), books=Books(record=calls.append), workshop=shop)
    return asked.plan(context(top_rung="write", run_id="run", iteration=2, **more)), calls, asked


def messages(server: Endpoint, number: int = -1) -> list[dict[str, str]]:
    return list(server.requests[number][2]["messages"])


def test_a_policy_that_is_refused_comes_back_with_the_findings_and_is_mended(serve: Callable[..., Endpoint]) -> None:
    server, shop = serve(says(write("broken")), says(write("sound"))), Shop()
    made, calls, asked = talked(server, shop)
    assert [(plan.policy, plan.pathway, plan.planner) for plan in made] == [("mine_m2", "write", "model:tiny")]
    assert made[0].made.source == "sound" and made[0].made.authored.call == calls[1].id
    system, question, own, said = messages(server)
    assert (system["role"], question["role"], own["role"], said["role"]) == ("system", "user", "assistant", "user")
    assert json.loads(own["content"])["plans"][0]["source"] == "broken"
    for part in ("plan 1 (write): refused", "static: a task is lost", "mine.bpf.c:7: a task is lost", "Instead: insert",
                 "the compiler:\nmine.bpf.c:7: error", "up to 4 plans"):  # fmt: skip
        assert part in said["content"]
    fates = [(fate.part, fate.rung, fate.fate, fate.code, fate.policy) for call in calls for fate in call.fates]
    assert fates == [
        ("plan 1 (write)", "write", "refused", "static", ""),
        ("plan 1 (write)", "write", "kept", "", "mine_m2"),
    ]
    assert [(call.turn, call.status, call.iteration, call.run_id, call.workload) for call in calls] == [
        (1, "answered", 2, "run", "batch"), (2, "answered", 2, "run", "batch"),
    ]  # fmt: skip
    assert [m.content for m in calls[1].messages] == [m["content"] for m in messages(server)], "the exact context"
    assert json.loads(calls[0].answer) == {"plans": [write("broken")]} and calls[0].prompt == calls[1].prompt
    assert asked.usage.calls == 2


def test_repairs_are_bounded_and_what_was_kept_stays(serve: Callable[..., Endpoint]) -> None:
    server = serve(says({"rung": "reuse", "policy": "rr"}, write("broken")))
    made, calls, _ = talked(server, Shop())
    assert [plan.policy for plan in made] == ["rr"] and len(calls) == 1 + model.REPAIRS
    assert [fate.fate for fate in calls[1].fates] == ["dropped", "refused"] and calls[1].fates[0].code == "tried"


def test_no_more_is_asked_once_there_is_no_room(serve: Callable[..., Endpoint]) -> None:
    server = serve(says({"rung": "reuse", "policy": "rr"}, {"rung": "reuse", "policy": "fifo"}, write("broken")))
    made, calls, _ = talked(server, Shop(), limit=2)
    assert len(made) == 2 and len(calls) == 1
    assert [(fate.fate, fate.code) for fate in calls[0].fates] == [("kept", ""), ("kept", ""), ("dropped", "limit")]


def test_parts_that_are_all_dropped_come_back_with_the_reasons(serve: Callable[..., Endpoint]) -> None:
    server = serve(plans(("ljf", {"slice_ns": 1}), ("nonesuch", {})), plans(("rr", {})))
    made, calls, _ = talked(server)
    assert [plan.policy for plan in made] == ["rr"]
    said = messages(server)[-1]["content"]
    assert "plan 1 (configure ljf): dropped: knob 'slice_ns' is from 100000" in said or "'slice_ns' is from" in said
    assert "plan 2 (reuse nonesuch): dropped: no policy 'nonesuch' was retrieved" in said
    assert [fate.code for fate in calls[0].fates] == ["knob", "policy"]


def test_what_was_dropped_is_told_in_the_next_round(serve: Callable[..., Endpoint]) -> None:
    server = serve(plans(("rr", {}), ("nonesuch", {})))
    _, calls, _ = talked(server)
    again = serve(plans(("fifo", {})))
    talked(again, calls=tuple(calls))
    assert "Round 2: plan 2 (reuse nonesuch): dropped : policy: no policy 'nonesuch'" in messages(again)[1]["content"]


def test_a_rung_that_is_not_open_and_one_that_is_none_are_dropped(serve: Callable[..., Endpoint]) -> None:
    parts = {"rung": "sing"}, write("sound"), {"rung": "configure", "policy": "rr"}
    calls: list[ModelCall] = []
    shop = Shop()
    asked = ModelPlanner(serve(says(*parts)).says(), books=Books(record=calls.append), workshop=shop)
    assert [plan.policy for plan in asked.plan(context())] == ["rr"] and shop.asked == []
    assert [fate.code for fate in calls[0].fates] == ["rung", "rung", ""]
    assert "reuse, configure are" in calls[0].fates[1].reason


def test_without_a_workshop_nothing_is_made(serve: Callable[..., Endpoint]) -> None:
    made, calls, _ = talked(serve(says(write("sound"), {"policy": "rr"})))
    assert [plan.policy for plan in made] == ["rr"] and calls[0].fates[0].code == "rung"


def test_each_rung_asks_the_workshop_for_its_own_kind(serve: Callable[..., Endpoint]) -> None:
    parts = (
        {"policy": "vtime", "choices": [{"name": "order", "value": "fifo"}]},
        {"slots": {"key": "burst_ns"}}, {"policy": "rr", "edits": [{"find": "a\tb", "replace": "c"}]},
        {"policy": "rr", "source": "```c\nint x;\n```"},
    )  # fmt: skip
    shop = Shop()
    made, _, _ = talked(serve(says(*parts)), shop, scores=(score("rr", 1.2),))
    assert [plan.pathway for plan in made] == ["compose", "slot", "patch", "write"]
    kinds = [making for making, _ in shop.asked]
    assert kinds[1:] == [FillSlots({"key": "burst_ns"}), Patch("rr", (("a\tb", "c"),)), Write("int x;\n", "rr")]
    assert [authored.rung for _, authored in shop.asked] == ["compose", "slot", "patch", "write"]


def test_one_answer_brings_so_many_policies_and_no_more(
    serve: Callable[..., Endpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "MOST_MADE", 2)
    shop = Shop(refuses="x")
    _, calls, _ = talked(serve(says(*[write(f"x{n}") for n in range(5)])), shop)
    assert len(shop.asked) == 2 * (1 + model.REPAIRS) and [f.code for f in calls[0].fates][2:] == ["limit"] * 3


def test_an_error_after_plans_were_taken_takes_none_away(serve: Callable[..., Endpoint]) -> None:
    turn = says({"rung": "reuse", "policy": "rr"}, write("broken"))
    made, calls, asked = talked(serve(turn, error(500)), Shop())
    assert [plan.policy for plan in made] == ["rr"]
    assert [call.status for call in calls] == ["answered", "failed", "failed", "failed"] and asked.usage.calls == 4
    assert calls[-1].reason.endswith("no answer: HTTP 500: broken") and calls[-1].tokens_in == 0


def test_a_compiler_that_is_not_there_ends_no_run(serve: Callable[..., Endpoint]) -> None:
    class NoCompiler(Shop):
        def make(self, *_: Any, **__: Any) -> Any:
            raise InfraError("clang is not there")

    both = planner(serve(says(write("sound"))).says(), workshop=NoCompiler())
    assert {plan.planner for plan in both.plan(context(top_rung="write"))} == {"embedded"}


@pytest.mark.parametrize(("form", "asked_for"), [("schema", ["json_schema", "json_object", None]), ("none", [None])])
def test_a_form_that_a_server_does_not_take_is_asked_for_no_more(
    serve: Callable[..., Endpoint], form: Any, asked_for: list[str | None]
) -> None:
    def turn(handler: Any) -> None:
        refuses = "response_format" in server.requests[-1][2]
        send(handler, 400, {"error": {"message": "response_format?"}}) if refuses else plans(("rr", {}))(handler)

    server = serve(turn)
    asked = ModelPlanner(server.says(json_form=form))
    assert [plan.policy for plan in asked.plan(context())] == ["rr"]
    formats = [body.get("response_format", {}).get("type") for _, _, body in server.requests]
    assert formats == asked_for
    asked.plan(context())
    assert len(server.requests) == len(asked_for) + 1, "it is known by then"


def test_temperature_and_the_name_that_a_server_knows(serve: Callable[..., Endpoint]) -> None:
    server = serve(plans(("rr", {})))
    ModelPlanner(server.says(model="openai/tiny", temperature=0.25)).plan(context())
    ModelPlanner(server.says()).plan(context())
    assert [(body["model"], body.get("temperature")) for _, _, body in server.requests] == [
        ("tiny", 0.25),
        ("tiny", None),
    ]


def test_learned_instructions_take_the_place_of_ours_and_are_another_prompt(serve: Callable[..., Endpoint]) -> None:
    server, calls = serve(plans(("rr", {}))), list[ModelCall]()
    books = Books(record=calls.append)
    ModelPlanner(server.says(), books=books).plan(context())
    ModelPlanner(server.says(), books=books, instructions="Be bold.", program="night-3").plan(context())
    assert "Be bold." in messages(server)[0]["content"] and "Never repeat" not in messages(server)[0]["content"]
    assert calls[0].prompt != calls[1].prompt and (calls[0].program, calls[1].program) == ("", "night-3")


def test_every_call_is_written_down_with_its_price_or_without(serve: Callable[..., Endpoint]) -> None:
    server, calls = serve(plans(("rr", {})), plans(("rr", {}), usage=False)), list[ModelCall]()
    books = Books(record=calls.append)
    ModelPlanner(server.says(price_in_usd_per_mtok=2.0), books=books).plan(context())
    ModelPlanner(server.says(answer_tokens=777), books=books).plan(context())
    first, second = calls
    assert (first.tokens_in, first.tokens_out, first.counted, first.usd) == (1000, 200, True, 0.002)
    assert (second.tokens_out, second.counted, second.usd) == (777, False, None)
    assert first.latency_s >= 0 and first.started.endswith("+00:00") and first.id != second.id


def test_a_day_s_cap_holds_over_all_planners(serve: Callable[..., Endpoint]) -> None:
    server = serve(plans(("rr", {})))
    books = Books(today=lambda: Usage(9, 50_000, 0, 0.5))
    for limits, said in (
        ({"max_tokens_day": 50_001}, "50000 tokens are used today"),
        ({"max_cost_usd_day": 0.5, "price_in_usd_per_mtok": 1.0}, r"\$0\.5000 is spent today"),
    ):
        with pytest.raises(model.SchedcpError, match=said):
            ModelPlanner(server.says(**limits), books=books).plan(context())
    assert server.requests == []


def test_a_prompt_keeps_its_length_however_long_the_conversation(serve: Callable[..., Endpoint]) -> None:
    server = serve(says(write("broken " + "x\t" * 20_000)), says(write("broken " + "y" * 50_000)), says(write("sound")))
    shop = Shop(guide="\n".join(f"rule {n} " + "z" * 100 for n in range(400)))
    made, _, _ = talked(server, shop)
    assert made
    for _, _, body in server.requests:
        sent = sum(len(message["content"].encode()) for message in body["messages"])
        assert sent <= PROMPT_BYTES
    last = messages(server)
    assert "bytes are not shown]" in last[2]["content"] and "[cut: " in last[1]["content"]

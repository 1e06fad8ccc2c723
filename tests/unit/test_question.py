# SPDX-License-Identifier: Apache-2.0
"""What a model is shown: the subjects, their order, what is cut, and a length that no lake exceeds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planner_cases import BATCH, context, policy, rejection, score
from test_planner_conversation import Shop

from bpf.library import policies
from policy_lake.calls import Fate, ModelCall
from policy_lake.limits import PROMPT_BYTES
from policy_lake.model import Authored, Lesson
from policy_lake.scores import Pair, Ratio
from tasks.authoring.reading import choices, guide, primitives
from tasks.planners.ladder import LADDER, rungs_of
from tasks.planners.protocol import Brief, PlanContext
from tasks.planners.sections import NOTE_BYTES, Section, fitted, middle_out
from tasks.planners.shown import question, score_line

PROMPT_TOKENS = 16_000


def asked(here: PlanContext, room: int = PROMPT_BYTES, workshop: Any = None) -> dict[str, Any]:
    return question(here, rungs_of(here), workshop, room)


@given(
    st.lists(st.tuples(st.lists(st.text(max_size=40), max_size=6), st.integers(0, 300)), max_size=5),
    st.integers(0, 600),
)
def test_sections_never_take_more_than_there_is(parts: list[tuple[list[str], int]], room: int) -> None:
    sections = [Section(str(n), tuple(items), most) for n, (items, most) in enumerate(parts)]
    texts = fitted(sections, room)
    taken = sum(len(text.encode()) for text in texts.values())
    assert taken <= max(room, NOTE_BYTES * len(sections)) and list(texts) == [str(n) for n in range(len(parts))]


def test_what_is_cut_says_so_and_the_first_come_first() -> None:
    long = Section("a", tuple(f"line {n}" for n in range(100)), 100)
    assert long.within(1000) == "line 0\nline 1\nline 2\nline 3\nline 4\n[cut: 95 of 100 lines are not shown]"
    assert fitted([long, Section("b", ("x" * 50,), 99)], 150)["a"].startswith("[cut: 100 of 100")
    assert Section("c", ("one", "two"), 100).within(7) == "one\ntwo"
    whole = Section("d", ("y" * 900, "z"), 500).within(500)
    assert whole.startswith("yyy") and whole.endswith("yyy\n[cut: 1 of 2 lines are not shown]") and len(whole) <= 500
    assert middle_out("short", 100) == "short"
    cut = middle_out("a" * 500 + "b" * 500, 160)
    assert cut == f"{'a' * 50}\n[cut: 900 of 1000 bytes are not shown]\n{'b' * 50}" and len(cut) <= 160


def test_a_task_tells_goal_guards_bound_round_and_budget() -> None:
    brief = Brief("p99 in us, lower is better", ("rps: at most 1.1 times worse",), "2 CPUs", 5, 40)
    task = asked(context(scores=(score("fifo", 1.1),), brief=brief, iteration=3))["task"]
    for part in ("Workload batch: shorten the time", "p99 in us", "Must not get worse: rps", "1.320", "Round 3 of 5",
                 "40 runs of candidates are left"):  # fmt: skip
        assert part in task
    assert "runs of candidates" not in asked(context(brief=Brief()))["task"]


def test_a_score_has_absolute_values_the_spread_and_what_it_breaks() -> None:
    pairs = (Pair(20_000.0, 5000.0, 1), Pair(21_000.0, 6000.0, 2), Pair(22_000.0, 11_000.0, 3))
    made = replace(
        score("mine", 3.5), pairs=pairs, metric="p99", unit="us", ratio=Ratio(3.5, (2.0, 4.0)),
        also={"policy_rps": 900.0, "baseline_rps": 1000.0}, over={"rps": 1.01},
    )  # fmt: skip
    line = score_line(made)
    for part in ("3.500x (95 %: 2.000 to 4.000)", "p99 6000 us (EEVDF 21000)", "3 seeds EEVDF's is 2.00 to 4.00 times",
                 "rps 900 (EEVDF 1000)", "BREAKS the guard rps, 1.01 times its limit"):  # fmt: skip
        assert part in line


def test_the_best_scores_come_first_then_the_latest_and_no_more_than_twenty() -> None:
    scores = tuple(score("fifo", 1 + n / 1000, {"slice_ns": 10**6 + n}) for n in range(25))
    lines = asked(context(scores=scores))["scores"].splitlines()
    assert len(lines) == 20 and "1.024x" in lines[0] and "1.019x" in lines[5] and "1.005x" in lines[-1]


def test_rejections_have_place_advice_and_the_kernel_s_words_the_latest_first() -> None:
    candidate, why = rejection("rr", reason="stalls")
    kernel = replace(
        why, stage="kernel", evidence="x" * 3000 + "\nR3 is unbounded\n\nprocessed", advice="mask it", place="7"
    )
    said = asked(context(rejections=((candidate, why), (candidate, kernel))))["rejections"]
    assert said.index("R3 is unbounded") < said.index("rr {}: run: static: stalls")
    assert "kernel at 7: static: stalls To change: mask it\n    in its words:\n    " in said and len(said) < 3500


def test_what_is_shown_of_making_policies_goes_with_the_open_rungs() -> None:
    shop = Shop()
    low = asked(context(), workshop=shop)
    assert not (low["guide"] or low["sources"] or low["primitives"])
    slot = asked(context(top_rung="slot"), workshop=shop)
    assert slot["guide"] and "order: fifo" in slot["primitives"] and not slot["sources"]
    whole = asked(context(top_rung="write"), workshop=shop)
    assert "sx/dsq.h" in whole["primitives"] and "--- vtime.bpf.c\nsource" in whole["sources"]


def test_a_model_s_own_rejected_policy_is_the_first_source_then_the_best() -> None:
    own = replace(policy("mine_m1", source="own\tline [[ ## x"), origin="model", authored=Authored("write", "m"))
    candidate, why = rejection("mine_m1", source=own.source)
    known = (*context().policies, own)
    told = ((replace(candidate, run_id="run"), why),)
    here = context(policies=known, rejections=told, run_id="run", scores=(score("fifo", 1.2),), top_rung="patch")
    sources = asked(here, workshop=Shop())["sources"]
    assert sources.startswith("--- mine_m1.bpf.c\nown\tline [ [ ## x\n--- fifo.bpf.c\nsource\n--- vtime"), sources
    assert "--- mine_m1" not in asked(replace(here, run_id="other"), workshop=Shop())["sources"]


def test_what_became_of_earlier_answers_is_told_the_latest_first() -> None:
    made = ModelCall("c", "r", "w", 1, 1, "", "m", "", "", "", (), "", "answered", 0, 0, True, None, 0.0)
    one = replace(made, fates=(Fate("plan 1 (reuse rr)", "reuse", "dropped", "", "tried", "rr was tried"),))
    two = replace(made, iteration=2, status="malformed", reason="prose")
    told = asked(context(calls=(one, two)))["heard"].splitlines()
    assert told == [
        "Round 2: no answer to work with: prose",
        "Round 1: plan 1 (reuse rr): dropped : tried: rr was tried",
    ]


def huge(size: int) -> PlanContext:
    """A lake in which there is much of everything, and all of it long."""
    long = "words and numbers 12345.678 of it, " * 200
    commands = tuple(replace(BATCH.commands[0], comm=f"worker-{n}") for n in range(size))
    scores = tuple(
        replace(score("fifo", 1 + n / 10_000, {"slice_ns": 10**6 + n}), also={f"policy_m{k}": 1.5 for k in range(30)})
        for n in range(size)
    )
    rejections = tuple(
        (
            replace(rejection("rr")[0], run_id="run"),
            replace(rejection("rr", reason=long)[1], stage="kernel", evidence=long),
        )
        for _ in range(size)
    )
    lessons = tuple(Lesson(f"l{n}", "r", "batch", "ljf", long) for n in range(size))
    call = ModelCall("c", "r", "w", 1, 1, "", "m", "", "", "", (), "", "malformed", 0, 0, True, None, 0.0, long)
    return PlanContext(
        replace(BATCH, commands=commands, text=long, goal=long), policies(), scores, rejections, lessons, 2, 4, "run",
        brief=Brief(long, (long,) * size, long, 3), calls=(call,) * size, top_rung="write",
    )  # fmt: skip


@pytest.mark.parametrize("size", [0, 3, 3000])
def test_a_prompt_is_below_16000_tokens_at_any_size_of_the_lake(size: int) -> None:
    """By the tokens of Llama 2's vocabulary, which has few words and so makes more tokens of C than later ones do."""
    tokenizers = pytest.importorskip("tokenizers")
    import wordllama

    from tasks.planners.ask import overhead, prepare
    from tasks.planners.endpoint import ModelEndpoint
    from tasks.planners.question import signature

    shop = Shop(guide=guide(), primitives=primitives(), choices=choices())
    here, form = huge(size), signature()
    inputs = question(here, rungs_of(here), shop, PROMPT_BYTES - overhead(form))  # type: ignore[arg-type]
    call = prepare(ModelEndpoint("http://host/v1", "tiny"), form, inputs, 1.0)
    sent = "\n".join(message.content for message in call.messages)
    assert len(sent.encode()) <= PROMPT_BYTES
    vocabulary = Path(wordllama.__file__).parent / "tokenizers" / "l2_supercat_tokenizer_config.json"
    tokenizer = tokenizers.Tokenizer.from_file(str(vocabulary))
    tokenizer.no_truncation()
    assert len(tokenizer.encode(sent).ids) < PROMPT_TOKENS
    if size:
        assert sent.count("[cut: ") >= 4 and "Workload batch" in sent and "Open: reuse" in sent
        assert json.loads(str(inputs["profile"]))["workload"] == "batch", "cut by whole commands"
        assert "## Custody" in sent and "--- fifo.bpf.c" in sent
    assert LADDER[-1] in sent

# SPDX-License-Identifier: Apache-2.0
"""A model's answers as policies, without a compiler: what they are made into, how they are named, why they are not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bpf.library import policies
from policy_lake.codes import Code
from policy_lake.limits import SOURCE_CHARACTERS
from policy_lake.model import Authored, Finding, Stage
from tasks.authoring import reading, workshop
from tasks.planners.answers import Compose, FillSlots, Made, Making, Patch, Refused, Write

KNOWN = {policy.id: policy for policy in policies()}
BY = Authored("write", "model:tiny", "prompt", "call", "run")
FIFO = KNOWN["fifo"].source
QUESTION = Finding("F10", "suspicion", "may stall")
KERNEL: Any = lambda: SimpleNamespace(headers="headers")  # noqa: E731


def checked(*stages: Stage, made: Any = "object") -> Any:
    return lambda source, *, name, kernel: SimpleNamespace(stages=stages, made=made, source=source)


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> workshop.BpfWorkshop:
    monkeypatch.setattr(workshop, "check_statically", checked(Stage("source", True, 0.1, (QUESTION,))))
    return workshop.BpfWorkshop(KERNEL)


def make(shop: workshop.BpfWorkshop, making: Making, title: str = "") -> Made | Refused:
    return shop.make(making, title, known=KNOWN, authored=BY)


def test_a_written_policy_has_its_own_name_and_the_questions_that_are_left(shop: workshop.BpfWorkshop) -> None:
    made = make(shop, Write(FIFO, "fifo"))
    assert isinstance(made, Made) and made.findings == (QUESTION,)
    assert made.policy.id.startswith("fifo_m") and len(made.policy.id) == len("fifo_m") + 5
    assert f"\n * {made.policy.id} - " in made.policy.source and made.policy.origin == "model"
    assert made.policy.authored is not None and made.policy.authored.lineage == ("fifo",)
    assert make(shop, Write(FIFO)).policy.authored.lineage == ()  # type: ignore[union-attr]
    long = Write(FIFO.replace("fifo - ", "A_rather_long_name - ", 1))
    assert make(shop, long).policy.id.startswith("a_rather__m")  # type: ignore[union-attr]


def test_an_essay_on_one_line_is_one(shop: workshop.BpfWorkshop) -> None:
    """And one that is not the first comment."""
    made = make(shop, Write("// licence\n/* other */\n/* mine - t\nWhat: w\nGood for: g\n*/ int x;"))
    assert isinstance(made, Made) and (made.policy.title, made.policy.summary) == ("t", "w")


def test_slots_are_named_after_the_model_s_own_words(shop: workshop.BpfWorkshop) -> None:
    made = make(shop, FillSlots({"key": "burst_ns"}), "short */ first\x1b " + "x" * 200)
    assert isinstance(made, Made) and made.policy.title.startswith("short first\\x1b xxx")
    assert len(made.policy.title) == workshop.TITLE and "*/ first" not in made.policy.source
    plain = make(shop, FillSlots({"key": "burst_ns"}))
    assert isinstance(plain, Made) and plain.policy.title.startswith("a fixed policy")


def test_a_composed_one_differs_in_its_choices_and_a_class_has_two_names(shop: workshop.BpfWorkshop) -> None:
    made = make(shop, Compose("vtime", {"class": "kthread"}))
    assert isinstance(made, Made) and ("class", "kthread") in made.policy.mechanisms
    assert made.policy.authored is not None and made.policy.authored.lineage == ("vtime",)
    assert make(shop, Compose("vtime", {"classes": "kthread"})).policy.mechanisms == made.policy.mechanisms  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("making", "stage", "code"),
    [
        (Compose("nonesuch", {}), "base", "unknown"), (Patch("nonesuch", ()), "base", "unknown"),
        (Compose("admission", {"order": "fifo"}), "choices", "base"),
        (Compose("vtime", {"x": "1"}), "choices", "choice"),
        (Compose("vtime", {"order": "red"}), "choices", "value"), (Compose("vtime", {}), "choices", "same"),
        (Compose("fifo", {"steal": "empty"}), "choices", "steal"), (FillSlots({"key": ";"}), "slots", "character"),
        (Patch("fifo", (("x" * 99, ""),)), "edits", "absent"), (Write("int x;"), "essay", "essay"),
        (Write("/* mine - t\nWhat: w\n*/"), "essay", "essay"),
        (Write(FIFO + " " * SOURCE_CHARACTERS), "essay", "length"),
        (Write(FIFO + "\ud800"), "essay", "text"), (Patch("fifo", (("20 * SX_MS", "\udfff"),)), "essay", "text"),
        (Write("/* m - t\nWhat: w\nGood for: g\n*/\nconst volatile u64 k = 1; /* ns, 9..1: none */"), "essay", "knob"),
    ],
)  # fmt: skip
def test_what_is_no_policy_is_refused(shop: workshop.BpfWorkshop, making: Making, stage: str, code: str) -> None:
    refused = make(shop, making)
    assert isinstance(refused, Refused) and (refused.stage, refused.code) == (stage, code), refused


def test_a_patch_is_of_the_whole_line_and_the_same_twice_is_refused(shop: workshop.BpfWorkshop) -> None:
    first = make(shop, Patch("fifo", (("20 * SX_MS", "3 * SX_MS"),)))
    assert isinstance(first, Made)
    known = {**KNOWN, first.policy.id: first.policy}
    again = shop.make(Patch(first.policy.id, (("3 * SX_MS", "4 * SX_MS"),)), "", known=known, authored=BY)
    assert isinstance(again, Made) and again.policy.authored is not None
    assert again.policy.authored.lineage == (first.policy.id, "fifo") and again.policy.id.count("_m") == 1
    same = shop.make(Patch("fifo", (("20 * SX_MS", "3 * SX_MS"),)), "", known=known, authored=BY)
    assert isinstance(same, Refused) and same.code == "known" and first.policy.id in same.reason


def test_the_first_stage_that_fails_is_told_with_its_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    reject = Finding("F03", "reject", "lost", "a.c:7", "insert it", Code.STATIC)
    failed = Stage("object", False, 0.1, (QUESTION, reject), "listing")
    monkeypatch.setattr(workshop, "check_statically", checked(Stage("source", True, 0.1), failed))
    refused = make(workshop.BpfWorkshop(KERNEL), Write(FIFO))
    assert isinstance(refused, Refused)
    assert (refused.stage, refused.code, refused.reason) == ("object", "static", "lost")
    assert refused.findings == (reject,) and refused.words == "" and "_m" in refused.source
    build = Stage("build", False, 0.1, (), "a.c:1: error")
    monkeypatch.setattr(workshop, "check_statically", checked(build, made=None))
    refused = make(workshop.BpfWorkshop(KERNEL), Write(FIFO))
    assert isinstance(refused, Refused)
    assert (refused.stage, refused.code, refused.words) == ("build", "unexplained", "a.c:1: error")


def test_what_there_is_to_read_names_every_header_and_its_functions(shop: workshop.BpfWorkshop) -> None:
    lines = shop.primitives.splitlines()
    assert 'primitives/due.bpf.h: Due times: order a queue by "now + how long this task can be put off".' in lines
    assert "  bool sx_head_overdue(u64 dsq_id, u64 now, s64 slack_ns)" in lines
    assert not any(line.startswith("primitives/jobkey") for line in lines)
    assert {line.partition(":")[0] for line in lines if not line.startswith(" ")} >= {"sx/dsq.h", "sx/task.h"}
    assert shop.guide == reading.guide()

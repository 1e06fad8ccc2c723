# SPDX-License-Identifier: Apache-2.0
"""A rollout as a page: what is said of each step and end, and that names from outside stay text."""

from __future__ import annotations

import pytest
from rollout_cases import PLAN

from policy_lake.records import Rollout
from policy_lake.rollout import Decision, End, Judgement, Reading, RolloutDone, StepDone, Why
from tasks.rollout.page import WHY, end_line, judgement_line, reading_text, rollout_page

SEEN = Reading("p99_us", 8, 0, 1.9, 1.7, 2.1, "a|<b>")
HARM = Judgement(Decision.ROLL_BACK, Why.HARM, "p99_us", "a|<b>", (SEEN,))


def test_every_reason_has_its_words():
    assert set(WHY) == set(Why)


def test_a_judgement_names_metric_and_host():
    assert judgement_line(HARM) == "roll back: a critical metric is surely beyond its limit (p99_us on a|<b>)"
    assert judgement_line(Judgement(Decision.PROMOTE, Why.WITHIN)) == "promote: every metric surely within its limit"


def test_a_reading_without_a_limit_says_so():
    assert reading_text(SEEN) == "1.90 [1.70, 2.10]"
    assert reading_text(Reading("x", 1, 0, 1.0, 0.0, None)) == "too few windows"


@pytest.mark.parametrize(
    ("done", "line"),
    [
        (RolloutDone(End.PROMOTED, (), "all"), "promoted at step all"),
        (RolloutDone(End.LOST, (), "one", "a", "silent: gone"), "lost at step one by a: silent: gone"),
    ],
)
def test_the_end_is_one_line(done, line):
    assert end_line(done) == line


def test_the_page_has_every_step_and_escapes_what_comes_from_outside():
    done = RolloutDone(End.ROLLED_BACK, (), "one")
    record = Rollout("r-1", "web|x", "fifo", "0" * 64, ("a|<b>",), PLAN, "2026-11-28T05:00:00+00:00", done=done)
    page = rollout_page(record, [StepDone("shadow", ("a|<b>",)), StepDone("one", ("a|<b>",), HARM)])
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert len(rows) == 4 and "loaded, and unloaded" in rows[2] and "1.90 [1.70, 2.10]" in rows[3]
    assert "<b>" not in page.replace("\\<", "") and all(row.replace("\\|", "").count("|") == 7 for row in rows)
    assert "**rolled back at step one**" in page

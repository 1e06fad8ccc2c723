# SPDX-License-Identifier: Apache-2.0
"""Records for a report: no text in them reaches a surface as it was given, and all else stays."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from flow_cases import PROFILE, REJECTION, candidate

from tasks.run.certainty import Tried
from tasks.run.shown import report_parts, shown


@dataclass(frozen=True)
class Record:
    name: str = "n"
    count: int = 3
    parts: tuple[Any, ...] = ()
    table: dict[str, Any] = field(default_factory=dict)
    evidence: Any = ""
    source: Any = ""
    made: str = field(init=False, default="made")


def escape(text: object) -> str:
    return f"<{text}>"


def test_every_text_is_escaped_wherever_it_stands() -> None:
    given = Record("a", 3, ("b", 1, None, ["c"], Record("d")), {"e": "f", "g": {"h": 2.5}})
    made = shown(given, escape)
    assert made.parts == ("<b>", 1, None, ["<c>"], Record("<d>"))
    assert (made.name, made.count, made.table, made.made) == ("<a>", 3, {"<e>": "<f>", "<g>": {"<h>": 2.5}}, "made")
    assert shown(Record, escape) is Record and shown(b"raw", escape) == b"raw"


def test_lines_stay_lines_without_what_a_terminal_obeys_and_sources_are_not_shown() -> None:
    made = shown(Record(evidence="one\ntwo \x1b[2J", source="int x;"), escape)
    assert made.source == "" and made.evidence.splitlines()[0] == "one"
    assert "\x1b" not in made.evidence and "<" not in made.evidence
    assert shown(Record(evidence=("a", 1)), escape).evidence == ("<a>", 1), "of another kind it is like any other"


def test_all_that_a_report_is_made_of_is_escaped() -> None:
    tried = [Tried(candidate("ljf-1"), rejection=replace(REJECTION, reason="x"))]
    profile, shown_tried, token, warning = report_parts(replace(PROFILE, text="p"), tried, "t", "w", escape)
    assert (profile.text, token, warning) == ("<p>", "<t>", "<w>")
    assert shown_tried[0].rejection and shown_tried[0].rejection.reason == "<x>"
    assert (
        report_parts(PROFILE, [], None, "", escape)[2] is None and report_parts(PROFILE, [], "", "", escape)[2] is None
    )

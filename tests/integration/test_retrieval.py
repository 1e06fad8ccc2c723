# SPDX-License-Identifier: Apache-2.0
"""What retrieval finds of the labelled queries stays near what docs/retrieval.md says, held-out third included."""

from __future__ import annotations

import re
from pathlib import Path

from control_plane.bench.retrieval import WAYS, by_all, figures

PAGE = Path(__file__).parents[2] / "docs/retrieval.md"


def test_the_fused_ranking_finds_no_less_than_was_measured_less_a_margin():
    found = list(figures({"fused": by_all}))
    assert [figure.required for figure in found] == [True, True]
    assert [(figure.name, figure.measured) for figure in found if not figure.met] == []


def test_the_page_tells_of_every_way_what_is_measured():
    page = PAGE.read_text(encoding="utf-8")
    rows = {name: re.findall(r"\d\.\d\d", row) for name, row in re.findall(r"^\| (\w+) +\|(.*)$", page, re.MULTILINE)}
    for name, way in WAYS.items():
        measured = [re.match(r"\d\.\d\d", figure.measured)[0] for figure in figures({name: way})]
        assert [rows[name][0], rows[name][1]] == measured, name

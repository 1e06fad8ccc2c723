# SPDX-License-Identifier: Apache-2.0
"""Text in lines of 100 columns: where they break, and what stays whole."""

from __future__ import annotations

import pytest

from tasks.run.layout import WIDTH, folded, wrapped


def test_a_report_is_100_columns_wide() -> None:
    assert WIDTH == 100
    assert wrapped("a" * 49 + " " + "b" * 50) == ["a" * 49 + " " + "b" * 50]
    assert wrapped("a" * 50 + " " + "b" * 50) == ["a" * 50, "b" * 50]


@pytest.mark.parametrize(("first", "rest"), [("- ", "  "), ("", "    "), ("knobs: ", "")])
def test_each_line_stands_behind_its_indent_within_the_width(first: str, rest: str) -> None:
    lines = wrapped("word " * 60, first=first, rest=rest)
    assert lines[0].startswith(f"{first}word") and all(line.startswith(f"{rest}word") for line in lines[1:])
    assert 90 < max(map(len, lines[:-1])) <= WIDTH and " ".join(lines).count("word") == 60


def test_no_text_is_its_indent_alone() -> None:
    assert wrapped("", first="- ") == ["-"] and wrapped(" \n ") == [""]


def test_a_list_breaks_behind_its_commas_where_it_does_not_fit_and_only_there() -> None:
    names = ",".join(f"name-{n:02d}" for n in range(20))
    lines = wrapped(names, first="knob=", rest="     ")
    assert len(lines) == 2 and lines[0].endswith(",") and max(map(len, lines)) <= WIDTH
    assert "".join(line.strip() for line in lines).replace(" ", "") == f"knob={names}"
    for indent, whole in ((3, True), (4, False)):
        pair = "x" * 48 + "," + "y" * 48  # 97 columns
        for given in ({"first": " " * indent}, {"rest": " " * indent}):
            assert (pair in " ".join(wrapped(pair, **given))) is whole, given
    assert wrapped("a-path/" * 20) == ["a-path/" * 20], "a longer word is there to be copied"
    assert wrapped("z" * 120 + ",") == ["z" * 120 + ","]
    assert wrapped("see batch-git " + "and " * 30)[0].startswith("see batch-git and")
    hyphens = wrapped("w" * 94 + " a-bcdefgh")
    assert hyphens == ["w" * 94, "a-bcdefgh"], "names with a hyphen are not broken either"


def test_a_log_keeps_its_own_blanks_and_is_cut_where_it_is_too_wide() -> None:
    assert folded("  a  b \n\nlast", indent="| ") == ["|   a  b", "|", "| last"]
    wide = "".join(str(n % 10) for n in range(250))
    lines = folded(wide, indent="    ")
    assert [len(line) for line in lines] == [100, 100, 62] and "".join(line[4:] for line in lines) == wide
    assert folded("x" * 96, indent="    ") == ["    " + "x" * 96] and len(folded("x" * 97, indent="    ")) == 2

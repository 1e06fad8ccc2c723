# SPDX-License-Identifier: Apache-2.0
"""What the suite executed of a policy as a page: its source, with what was never tried marked."""

from __future__ import annotations

from html import escape

from control_plane.coverage import LEGEND, Source, coverage_line, mark, not_tried, notes_of, own_file
from policy_lake.coverage import Coverage

CLASSES = {"+": "ran", "!": "missed", "e": "error", " ": "none"}
STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; margin: 2rem; color: #1a1a1a; background: #fff; }
table { border-collapse: collapse; font: 12px/1.5 ui-monospace, monospace; }
td { padding: 0 .6rem; white-space: pre-wrap; vertical-align: top; }
td.number { text-align: right; color: #666; user-select: none; }
tr.ran td.mark { background: #cfe8d5; }
tr.missed { background: #fbd9d3; } tr.missed td.mark { background: #d55e00; color: #fff; }
tr.error td.mark { background: #e4e4e4; } tr.note td { color: #9a3412; font-style: italic; }
"""


def coverage_page(coverage: Coverage, source: Source) -> str:
    """HTML that needs no other file; every text of the policy's is escaped."""
    own = own_file(coverage, source)
    rows: list[str] = []
    notes = notes_of(coverage, own.file, source) if own else {}
    for number, text in enumerate(source.lines if own else (), 1):
        assert own
        sign = mark(own, number)
        rows.append(_row(CLASSES[sign], sign, str(number), text))
        rows += [_row("note", "", "", f"not tried: {note}") for note in notes.get(number, ())]
    places = "".join(f"<li>{escape(place)}</li>" for place in not_tried(coverage, source))
    table = f"<table>{''.join(rows)}</table>" if own else f"<p>no line of {escape(source.name)} has code</p>"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>coverage of {escape(source.name)}</title>'
        f"<style>{STYLE}</style><h1>{escape(source.name)}</h1><p>{escape(coverage_line(coverage))}</p>"
        f"<p>{escape(LEGEND)}</p>{table}<h2>Not tried</h2>"
        f"{f'<ul>{places}</ul>' if places else '<p>nothing: all of it was</p>'}</html>\n"
    )


def _row(kind: str, sign: str, number: str, text: str) -> str:
    return (
        f'<tr class="{kind}"><td class="mark">{escape(sign)}</td><td class="number">{number}</td>'
        f"<td>{escape(text)}</td></tr>\n"
    )

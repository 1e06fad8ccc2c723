# SPDX-License-Identifier: Apache-2.0
"""Templates filled in: every text in them is escaped, and what would not be seen in it is shown as an escape."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from policy_lake.model import KnobValue
from policy_lake.scores import Score
from policy_lake.show import for_terminal, lines_for_terminal, shortened
from tasks.fleet.report_link import slug
from tasks.plan import knob_text
from tasks.run.certainty import ratio_text

LONGEST = 20_000  # characters of one text from outside on a page


def page(template: str, **values: Any) -> bytes:
    """The page of that template; `root` is the way from it to the report's directory, such as `../`."""
    return _environment().get_template(template).render(values).encode()


def time_text(iso: str) -> str:
    """A time of the lake's to the minute: `2026-11-28 09:41`."""
    return iso[:16].replace("T", " ")


def score_where(score: Score) -> str:
    """On what it was measured, which has to be the same for two scores to be compared."""
    parts = (score.topology or f"{score.cpus} CPUs", f"{score.clock} clock", score.accel)
    size = "" if score.tier == "standard" else score.tier
    return ", ".join(part for part in (*parts, size) if part)


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"slug": slug, "when": time_text, "ratio": ratio_text, "knobs": _knobs, "lines": _lines}
    made.filters |= {"size": _size}
    return made


def _shown(value: Any) -> Any:
    """What a template puts in: one line of text, however long and whatever is in it; markup of a template stays."""
    return value if isinstance(value, Markup) else for_terminal(shortened(value, LONGEST))


def _lines(text: str) -> Markup:
    return Markup.escape(lines_for_terminal(shortened(text, LONGEST)))


def _knobs(values: dict[str, KnobValue]) -> str:
    return knob_text(values)


def _size(count: int) -> str:
    return f"{count:,}".replace(",", " ")

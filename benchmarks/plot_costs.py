# SPDX-License-Identifier: Apache-2.0
"""A picture of where a machine's CPU time went: under EEVDF, and under each policy."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.plots import COLOURS, GREY, Form, add_legend, new_figure, picture_bytes, score_labels
from policy_lake.machine_model import CAUSES, NOTHING, shares
from policy_lake.scores import Score

LEAST = 0.002  # of all bars: a thinner part is not to be seen


def draw_costs(scores: Sequence[Score], *, title: str, form: Form = "png") -> bytes:
    """One bar for the baseline and for each score's policy: the share of CPU time that each cost took."""
    figure, (panel,) = new_figure(1, height=0.9 + 0.46 * (len(scores) + 1))
    bars = [scores[0].paid.get("baseline", NOTHING), *(score.paid.get("policy", NOTHING) for score in scores)]
    parts = [shares(bar) for bar in bars]
    ends = [0.0] * len(bars)
    shown = [name for name in CAUSES if any(part.get(name, 0.0) >= LEAST for part in parts)]
    for index, name in enumerate(shown):
        widths = [100 * part.get(name, 0.0) for part in parts]
        colour = (*COLOURS, GREY, "#000000")[index]
        panel.barh(range(len(bars)), widths, left=ends, color=colour, label=CAUSES[name])
        ends = [end + width for end, width in zip(ends, widths, strict=True)]
    panel.set_yticks(range(len(bars)), [scores[0].baseline, *score_labels(scores)], fontsize=8)
    panel.invert_yaxis()
    panel.set_xlim(0, max(1.0, 1.05 * max(ends)))
    panel.set_xlabel("% of the CPUs' time that did not idle; causes overlap where both slow a CPU")
    add_legend(figure, panel, title)
    return picture_bytes(figure, form)

# SPDX-License-Identifier: Apache-2.0
"""Pictures of a score: who ran where, how long tasks waited, and what each policy came to beside its bound."""

from __future__ import annotations

import io
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from benchmarks.statistics import doubt_word, four_digits
from benchmarks.timeline import OTHERS, Timeline, busiest, longest_waiting
from policy_lake.scores import Score
from policy_lake.show import lines_for_terminal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Form = Literal["png", "svg"]
# Okabe and Ito's colours, which people who see colours differently can tell apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
GREY = "#999999"
MOST_TASKS = 16
TITLE = 90  # characters of a title on one line of a figure 9 inches wide
LABEL = 34  # characters of a bar's name on one line
_known_characters: dict[str, AbstractSet[int]] = {}  # by the font's file


def draw_timelines(timelines: Mapping[str, Timeline], *, title: str, form: Form = "png") -> bytes:
    """One panel a run on a common time axis, one row a CPU, coloured by command name."""
    names = busiest(list(timelines.values()), len(COLOURS))
    figure, panels = new_figure(len(timelines), height=1.1 + 0.28 * max(t.cpus for t in timelines.values()))
    for panel, (run, timeline) in zip(panels, timelines.items(), strict=True):
        for name, colour in (*zip(names, COLOURS, strict=False), (OTHERS, GREY)):
            _bars(panel, timeline, {name} if name != OTHERS else _others(timeline, names), colour, name)
        panel.set_yticks(range(timeline.cpus), [f"CPU {cpu}" for cpu in range(timeline.cpus)])
        panel.set_ylim(timeline.cpus - 0.5, -0.5)
        lost = f" ({timeline.lost} events lost)" if timeline.lost else ""
        panel.set_title(f"{run}: {timeline.wall_us / 1e3:.0f} ms{lost}", loc="left", fontsize=9)
    panels[-1].set_xlabel("ms since the start")
    panels[-1].set_xlim(0, max([1, *(t.wall_us for t in timelines.values())]) / 1e3)
    add_legend(figure, panels[0], title)
    return picture_bytes(figure, form)


def draw_states(timelines: Mapping[str, Timeline], *, title: str, form: Form = "png") -> bytes:
    """One panel a run, one row a task: when it ran and when it was runnable and waited; those that waited longest."""
    figure, panels = new_figure(len(timelines), height=1.1 + 0.2 * MOST_TASKS)
    for panel, (run, timeline) in zip(panels, timelines.items(), strict=True):
        rows = {pid: row for row, pid in enumerate(longest_waiting(timeline, MOST_TASKS))}
        names = {span.pid: span.comm for span in timeline.spans} | {wait.pid: wait.comm for wait in timeline.waits}
        for records, colour, label in (
            (timeline.spans, COLOURS[0], "runs"),
            ([wait for wait in timeline.waits if wait.served], COLOURS[1], "waits, runnable"),
            ([wait for wait in timeline.waits if not wait.served], COLOURS[5], "waits until the end"),
        ):
            for pid, row in rows.items():
                own = [record for record in records if record.pid == pid]
                bars = [(each.start_us / 1e3, max(each.end_us - each.start_us, 1) / 1e3) for each in own]
                panel.broken_barh(bars, (row - 0.4, 0.8), color=colour, linewidth=0, label=None if row else label)
        panel.set_yticks(range(len(rows)), [f"{names[pid][:LABEL]} [{pid}]" for pid in rows], fontsize=7)
        panel.set_ylim(max(1, len(rows)) - 0.5, -0.5)
        panel.set_title(f"{run}: {timeline.wall_us / 1e3:.0f} ms", loc="left", fontsize=9)
    panels[-1].set_xlabel("ms since the start")
    panels[-1].set_xlim(0, max([1, *(t.wall_us for t in timelines.values())]) / 1e3)
    add_legend(figure, panels[0], title)
    return picture_bytes(figure, form)


def draw_waits(timelines: Mapping[str, Timeline], *, title: str, form: Form = "png") -> bytes:
    """The cumulative distribution of the time from runnable to running, one line a run, on a logarithmic axis in ms."""
    figure, (panel,) = new_figure(1, height=3.2)
    for (run, timeline), colour in zip(timelines.items(), COLOURS, strict=False):
        waits_ms = np.sort(np.maximum(timeline.waits_us, 1)) / 1e3
        if not len(waits_ms):
            continue
        share = np.arange(1, len(waits_ms) + 1) / len(waits_ms)
        label = f"{run} (p99 {four_digits(float(np.percentile(waits_ms, 99)))} ms)"
        panel.step(waits_ms, share, where="post", color=colour, label=label)
    panel.set_xscale("log")
    # Whole decades in plain figures: powers of ten, or two times one, have to be worked out.
    low, high = panel.get_xlim()
    panel.set_xlim(10 ** np.floor(np.log10(low)), 10 ** np.ceil(np.log10(high)))
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    panel.xaxis.set_minor_formatter(lambda *_: "")
    panel.set_xlabel("ms from runnable to running")
    panel.set_ylabel("share of waits")
    panel.set_ylim(0, 1.01)
    panel.grid(alpha=0.3)
    add_legend(figure, panel, title)
    return picture_bytes(figure, form)


def draw_scores(scores: Sequence[Score], *, title: str, form: Form = "png") -> bytes:
    """One bar a score: its metric as a multiple of the baseline's, with its interval, and the bound as a line.

    What each came to stands to the right of the axes, where no bar and no line crosses it.
    """
    figure, (panel,) = new_figure(1, height=0.9 + 0.46 * (len(scores) + 1))
    first = scores[0]
    baseline = statistics.median(pair.baseline for score in scores for pair in score.pairs)
    rows = [f"{first.baseline}\n{four_digits(baseline)} {first.unit}", *score_labels(scores)]
    panel.barh(0, 1.0, color=GREY)
    for row, score in enumerate(scores, 1):
        low, high = score.ratio.ci95
        error = [[score.ratio.median - low], [high - score.ratio.median]]
        colour = {"win": COLOURS[2], "loss": COLOURS[5]}.get(score.outcome, COLOURS[4])
        panel.barh(row, score.ratio.median, color=colour, xerr=error, ecolor="black", capsize=3)
        said = f"{score.ratio.median:.2f}x [{low:.2f}, {high:.2f}]\n{_outcome(score)}"
        panel.text(1.01, row, said, va="center", fontsize=8, transform=panel.get_yaxis_transform())
    bounds = [score.bound for score in scores if score.bound]
    if bounds:
        panel.axvline(statistics.median(bounds), color="black", linestyle=":", label="bound that arithmetic sets")
    panel.set_yticks(range(len(rows)), rows, fontsize=8)
    panel.invert_yaxis()
    panel.set_xlim(0, 1.05 * max([1.0, *(score.ratio.ci95[1] for score in scores), *bounds]))
    panel.set_xlabel(f"{first.metric}: times better than {first.baseline} (95 % interval)")
    add_legend(figure, panel, title)
    return picture_bytes(figure, form)


def score_labels(scores: Sequence[Score]) -> list[str]:
    """A name a bar, on at most two lines: its policy, and the knobs in which it differs from others of that policy.

    Two that differ in nothing are told apart by a number.
    """
    labels: list[str] = []
    for score in scores:
        rivals = [other for other in scores if other.policy == score.policy]
        names = sorted({name for rival in rivals for name in rival.knob_values})
        telling = [name for name in names if len({str(rival.knob_values.get(name)) for rival in rivals}) > 1]
        knobs = ", ".join(f"{name}={score.knob_values[name]}" for name in telling if name in score.knob_values)
        own = knobs or ("as it is" if telling else "")
        labels.append("\n".join([_short(score.policy), *([_short(own)] if own else [])]))
    return [
        f"{label} #{labels[: index + 1].count(label)}" if labels.count(label) > 1 else label
        for index, label in enumerate(labels)
    ]


def _short(text: str) -> str:
    return text if len(text) <= LABEL else f"{text[: LABEL - 1]}…"


def _outcome(score: Score) -> str:
    doubt = doubt_word(score)
    return f"{score.outcome}: {doubt}" if doubt else score.outcome


def new_figure(panels: int, *, height: float) -> tuple[Figure, Sequence[Any]]:
    """A figure of so many panels, one below the other, each of that height in inches."""
    # The object interface: pyplot would keep every figure, and look for a display.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.6 + height * panels), layout="constrained")
    return figure, list(figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0])


def _bars(panel: Any, timeline: Timeline, names: set[str], colour: str, label: str) -> None:
    for cpu in range(timeline.cpus):
        spans = [s for s in timeline.spans if s.cpu == cpu and s.comm in names]
        bars = [(span.start_us / 1e3, max(span.end_us - span.start_us, 1) / 1e3) for span in spans]
        panel.broken_barh(bars, (cpu - 0.4, 0.8), color=colour, linewidth=0, label=label if cpu == 0 else None)


def _others(timeline: Timeline, names: Sequence[str]) -> set[str]:
    return {span.comm for span in timeline.spans} - set(names)


def add_legend(figure: Figure, panel: Any, title: str) -> None:
    """The title above, and below what the panel's colours stand for."""
    whole = "\n".join(textwrap.wrap(title, TITLE, break_on_hyphens=False))
    figure.suptitle(whole, x=0.01, ha="left", fontsize=10, fontweight="bold")
    if panel.get_legend_handles_labels()[0]:
        figure.legend(*panel.get_legend_handles_labels(), loc="outside lower left", ncols=4, fontsize=8, frameon=False)


def _show_texts(figure: Figure) -> None:
    """Draw every name as it is: control characters as escapes, and no formulas, of which half a one is an error.

    What the font has not is an escape, too: it would be a box, the same for every character.
    """
    from matplotlib.text import Text
    from matplotlib.ticker import FuncFormatter

    def shown(text: Text) -> str:
        known = _characters(text)
        escaped = (
            c if c == "\n" or ord(c) in known else c.encode("unicode_escape").decode()
            for c in lines_for_terminal(text.get_text())
        )  # fmt: skip
        return "".join(escaped).replace("$", r"\$")

    ticks: set[Any] = set()
    for panel in figure.axes:
        if isinstance(panel.yaxis.get_major_formatter(), FuncFormatter):  # what a list of names is made into
            panel.set_yticks(panel.get_yticks(), [shown(label) for label in panel.get_yticklabels()])
        ticks.update((*panel.get_xticklabels(), *panel.get_yticklabels()))
    for text in set(figure.findobj(Text)) - ticks:
        text.set_text(shown(text))


def _characters(text: Any) -> AbstractSet[int]:
    """The characters of the font that a text is drawn in."""
    from matplotlib.font_manager import findfont, get_font

    place = findfont(text.get_fontproperties())
    if place not in _known_characters:
        _known_characters[place] = get_font(place).get_charmap().keys()
    return _known_characters[place]


def picture_bytes(figure: Figure, form: Form) -> bytes:
    """The file's bytes; the same figure gives the same."""
    _show_texts(figure)
    out = io.BytesIO()
    # No date in the file: the same runs give the same picture.
    metadata = {"Software": None} if form == "png" else {"Date": None}
    figure.savefig(out, format=form, dpi=130, metadata=metadata)
    return out.getvalue()

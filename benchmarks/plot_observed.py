# SPDX-License-Identifier: Apache-2.0
"""One picture of what a probe saw: bursts and run delays by their length, and who wakes whom."""

from __future__ import annotations

import math
from typing import Any

from benchmarks.plots import COLOURS, GREY, LABEL, Form, add_legend, picture_bytes
from policy_lake.observed import Histogram, Histograms, WakePair

MOST_NAMES = 10
MOST_PAIRS = 24


def draw_observed(seen: Histograms, *, title: str, form: Form = "png") -> bytes:
    """Three panels; `title` above them."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 9.6), layout="constrained")
    bursts, delays, graph = figure.subplots(3, 1, height_ratios=(1, 1, 1.7))
    _draw_bursts(bursts, seen.bursts)
    _draw_delays(delays, seen)
    _draw_graph(graph, seen.pairs)
    handles = [*zip(*bursts.get_legend_handles_labels(), strict=True),
               *zip(*delays.get_legend_handles_labels(), strict=True)]  # fmt: skip
    add_legend(figure, graph, title)
    figure.legend(*zip(*handles, strict=True), loc="outside lower left", ncols=4, fontsize=8, frameon=False)
    return picture_bytes(figure, form)


def _draw_bursts(panel: Any, seen: Histogram) -> None:
    """How many bursts are that long, and how much of the CPU time they take, each as a share."""
    count, time = max(1, seen.total), max(1e-9, sum(seen.sums_ms))
    places = range(_last(seen) + 1)
    panel.bar([i - 0.2 for i in places], [seen.counts[i] / count for i in places], 0.4, color=COLOURS[0],
              label="share of bursts")  # fmt: skip
    panel.bar([i + 0.2 for i in places], [seen.sums_ms[i] / time for i in places], 0.4, color=COLOURS[1],
              label="share of CPU time")  # fmt: skip
    panel.set_title(f"bursts: CPU time from a wake-up to the next sleep ({seen.total})", loc="left", fontsize=9)
    _label(panel, len(places))


def _draw_delays(panel: Any, seen: Histograms) -> None:
    """ms that tasks waited in all, by how long each waited: while a CPU was idle, and while all were busy."""
    places = range(_last(seen.delays) + 1)
    idle = [seen.idle_ms[i] for i in places]
    busy = [max(0.0, seen.delays.sums_ms[i] - seen.idle_ms[i]) for i in places]
    panel.bar(places, idle, color=COLOURS[5], label="waited while a CPU was idle, ms")
    panel.bar(places, busy, bottom=idle, color=COLOURS[4], label="waited while all were busy, ms")
    panel.set_title(f"run delay: from runnable to running ({seen.delays.total})", loc="left", fontsize=9)
    _label(panel, len(places))


def _draw_graph(panel: Any, pairs: tuple[WakePair, ...]) -> None:
    """Names on a circle; an arrow from who wakes to who is woken, the wider the more often."""
    shown = pairs[:MOST_PAIRS]
    names: list[str] = []
    for pair in shown:
        names += [name for name in (pair.waker, pair.wakee) if name not in names]
    names = names[:MOST_NAMES]
    at = {name: _on_circle(number, len(names)) for number, name in enumerate(names)}
    most = max((pair.wakes for pair in shown), default=1)
    for pair in shown:
        if pair.waker not in at or pair.wakee not in at:
            continue
        width = 0.4 + 4 * pair.wakes / most
        colour = COLOURS[2] if pair.pongs > pair.wakes / 3 else GREY
        if pair.waker == pair.wakee:
            x, y = at[pair.waker]
            panel.plot([x], [y], "o", markersize=10 + 2 * width, markerfacecolor="none", markeredgecolor=colour,
                       markeredgewidth=width)  # fmt: skip
            continue
        arrow = {"arrowstyle": "-|>", "color": colour, "linewidth": width, "connectionstyle": "arc3,rad=0.15",
                 "shrinkA": 8, "shrinkB": 8}  # fmt: skip
        panel.annotate("", at[pair.wakee], at[pair.waker], arrowprops=arrow)
    for name, (x, y) in at.items():
        panel.plot([x], [y], "o", color=COLOURS[0], markersize=6)
        side = "left" if x > 0.1 else "right" if x < -0.1 else "center"
        panel.text(x * 1.12, y * 1.16, (name or "(idle or interrupt)")[:LABEL], ha=side, va="center", fontsize=8)
    what = f"who wakes whom, the {len(shown)} most frequent of {len(pairs)}; green: in answer"
    panel.set_title(what, loc="left", fontsize=9)
    panel.set_xlim(-2.6, 2.6)
    panel.set_ylim(-1.35, 1.35)
    panel.axis("off")


def _on_circle(number: int, of: int) -> tuple[float, float]:
    angle = 2 * math.pi * number / max(1, of)
    return math.cos(angle), math.sin(angle)


def _last(seen: Histogram) -> int:
    return max((place for place, count in enumerate(seen.counts) if count), default=0)


def _label(panel: Any, buckets: int) -> None:
    names = [
        f"{2**i} us" if i < 10 else f"{2 ** (i - 10)} ms" if i < 20 else f"{2 ** (i - 20)} s" for i in range(buckets)
    ]
    panel.set_xticks(range(buckets), names, fontsize=7, rotation=30)
    panel.grid(axis="y", alpha=0.3)

# SPDX-License-Identifier: Apache-2.0
"""A picture of searches: the best ratio so far over the runs that it took, one line a planner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

from benchmarks.plots import COLOURS, GREY, Form, add_legend, new_figure, picture_bytes
from benchmarks.suite_result import SuiteResult
from policy_lake.scores import Ratio, Score

DASHES = ("-", "--", "-.", ":")  # so that lines which lie on each other, or are printed grey, can be told apart


def draw_courses(
    courses: Mapping[str, Sequence[tuple[int, float]]], *, bound: float | None, title: str, form: Form = "png"
) -> bytes:
    """Steps by planner: (runs, best ratio so far), in order of runs; each begins at 1, which is the baseline."""
    figure, (panel,) = new_figure(1, height=3.6)
    last = max((points[-1][0] for points in courses.values() if points), default=1)
    for number, (name, points) in enumerate(courses.items()):
        steps = [(0, 1.0), *points]
        reached = steps[-1][1]
        panel.step(
            [*(runs for runs, _ in steps), last], [*(ratio for _, ratio in steps), reached], where="post",
            color=COLOURS[number % len(COLOURS)], linestyle=DASHES[number // 2 % len(DASHES)],
            label=f"{name} ({reached:.2f}x)",
        )  # fmt: skip
    if bound is not None:
        panel.axhline(bound, color="black", linestyle=":", label=f"bound that arithmetic sets ({bound:.2f}x)")
    panel.set_xlim(0, last)
    panel.set_xlabel("runs of candidates")
    panel.set_ylabel("best so far, times better than EEVDF")
    add_legend(figure, panel, title)
    return picture_bytes(figure, form)


def draw_story(scores: Sequence[Score], best_so_far: Sequence[float], *, title: str, form: Form = "png") -> bytes:
    """A run's scores in the order in which they came, by policy and with their intervals, over the runs that they took.

    `best_so_far` has one ratio a score, 1 where nothing was better than the baseline. Who breaks a guard is a cross.
    """
    figure, (panel,) = new_figure(1, height=3.8)
    policies = list(dict.fromkeys(score.policy for score in scores))
    runs = list(accumulate(len(score.pairs) for score in scores))
    for number, policy in enumerate(policies):
        own = [(at, score) for at, score in zip(runs, scores, strict=True) if score.policy == policy]
        for kept, marker in ((True, "o"), (False, "x")):
            some = [(at, score.ratio) for at, score in own if kept is not bool(score.over)]
            if some:
                error = [[r.median - r.ci95[0] for _, r in some], [r.ci95[1] - r.median for _, r in some]]
                label = policy if kept else f"{policy}, breaks a guard"
                panel.errorbar(
                    [at for at, _ in some], [r.median for _, r in some], yerr=error, fmt=marker, capsize=3,
                    color=COLOURS[number % len(COLOURS)], label=label,
                )  # fmt: skip
    panel.step([0, *runs], [1.0, *best_so_far], where="post", color=GREY, label="best so far")
    bounds = [score.bound for score in scores if score.bound]
    if bounds:
        panel.axhline(max(bounds), color="black", linestyle=":", label="bound that arithmetic sets")
    panel.set_xlabel("runs of candidates")
    panel.set_ylabel("times better than EEVDF (95 % interval)")
    add_legend(figure, panel, title)
    return picture_bytes(figure, form)


def draw_rows(rows: Sequence[tuple[str, str, Ratio]], title: str, form: Form = "png") -> bytes:
    """One line a place, one mark a contender, with intervals: rows are (place, contender, ratio); EEVDF is at 1."""
    places, contenders = (list(dict.fromkeys(row[column] for row in rows)) for column in (0, 1))
    figure, (panel,) = new_figure(1, height=1.2 + 0.4 * len(places))
    for number, name in enumerate(contenders):
        own = [(places.index(place), ratio) for place, contender, ratio in rows if contender == name]
        shift = 0.3 * (2 * number / max(1, len(contenders) - 1) - 1) if len(contenders) > 1 else 0.0
        error = [[r.median - r.ci95[0] for _, r in own], [r.ci95[1] - r.median for _, r in own]]
        panel.errorbar(
            [r.median for _, r in own], [row + shift for row, _ in own], xerr=error, fmt="o", markersize=4,
            color=COLOURS[number % len(COLOURS)], label=name,
        )  # fmt: skip
    panel.axvline(1.0, color=GREY)
    panel.set_yticks(range(len(places)), places, fontsize=8)
    panel.invert_yaxis()
    panel.set_xlabel("times better than EEVDF (95 % interval)")
    add_legend(figure, panel, title)
    return picture_bytes(figure, form)


def draw_suite(result: SuiteResult, *, form: Form = "png") -> bytes:
    """One row a case, one mark a contender, with intervals; the bound as a bar, EEVDF as the line at 1."""
    cases = list(result.frozen)
    figure, (panel,) = new_figure(1, height=1.0 + 0.5 * len(cases))
    contenders = [total.contender for total in result.totals]
    for number, name in enumerate(contenders):
        own = [(cases.index(one.case), one) for one in result.results if one.contender == name]
        shift = 0.35 * (2 * number / max(1, len(contenders) - 1) - 1) if len(contenders) > 1 else 0.0
        below = [one.ratio.median - one.ratio.ci95[0] for _, one in own]
        error = [below, [one.ratio.ci95[1] - one.ratio.median for _, one in own]]
        panel.errorbar(
            [one.ratio.median for _, one in own], [row + shift for row, _ in own], xerr=error, fmt="o", markersize=4,
            color=COLOURS[number % len(COLOURS)], label=name,
        )  # fmt: skip
    for row, case in enumerate(cases):
        bounds = [one.bound for one in result.results if one.case == case and one.bound is not None]
        if bounds:
            panel.plot([max(bounds)] * 2, [row - 0.45, row + 0.45], color="black", linestyle=":")
    panel.axvline(1.0, color=GREY)
    panel.set_yticks(range(len(cases)), cases, fontsize=8)
    panel.invert_yaxis()
    panel.set_xlabel("times better than EEVDF (95 % interval); dotted: bound that arithmetic sets")
    add_legend(figure, panel, f"suite v{result.version}{', held cases' if result.held else ''}")
    return picture_bytes(figure, form)

# SPDX-License-Identifier: Apache-2.0
"""A picture of searches: the best ratio so far over the runs that it took, one line a planner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.plots import COLOURS, Form, add_legend, new_figure, picture_bytes

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

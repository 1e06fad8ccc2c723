# SPDX-License-Identifier: Apache-2.0
"""Where the marks of the pages' drawings lie. The templates draw them, in colours that follow the reader's own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

WIDTH, HEIGHT = 320.0, 220.0  # of a scatter, in the units of its view box: as wide as the narrowest screen
LARGEST = 1e12
LEFT, RIGHT, TOP, BOTTOM = 44.0, 10.0, 10.0, 34.0


@dataclass(frozen=True, slots=True)
class Bar:
    """An interval with its middle on an axis from 0 to 100, and where 1 lies there; `bound` None: there is none."""

    low: float
    middle: float
    high: float
    one: float
    bound: float | None = None


@dataclass(frozen=True, slots=True)
class Dot:
    """A mark of a scatter: its place in the view box, its kind (a CSS class), what it stands for in words."""

    x: float
    y: float
    kind: str
    label: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis with its figure."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Scatter:
    """A drawing with two axes; `line` joins marks in order, `one_x` and `one_y` are where a ratio of 1 lies."""

    x_label: str
    y_label: str
    dots: tuple[Dot, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    line: tuple[tuple[float, float], ...] = ()
    one_x: float | None = None
    one_y: float | None = None


def bars(intervals: Sequence[tuple[float, float, float, float | None]]) -> list[Bar]:
    """Intervals (low, middle, high, bound) on one axis, from 0 to the largest of them or 1."""
    ends = [1.0, *(high for _, _, high, _ in intervals), *(bound or 0.0 for *_, bound in intervals)]
    most = 1.02 * min(max(ends), LARGEST)

    def place(value: float) -> float:
        return round(100 * min(max(value, 0.0), most) / most, 2)

    return [
        Bar(place(low), place(middle), place(high), place(1.0), None if bound is None else place(bound))
        for low, middle, high, bound in intervals
    ]


def scatter(
    points: Iterable[tuple[float, float, str, str]], x_label: str, y_label: str, *,
    ratios: Literal["", "y", "xy"] = "", joined: bool = False,
) -> Scatter | None:  # fmt: skip
    """Points (x, y, kind, label) within axes that just hold them; None where there are none.

    `ratios` names the axes on which 1 is shown, where it is within; an x axis without ratios is of whole numbers.
    `joined` draws a line through the points in their order.
    """
    given = [(_drawn(x), _drawn(y), kind, label) for x, y, kind, label in points]
    if not given:
        return None
    xs, ys = _span([x for x, *_ in given]), _span([y for _, y, *_ in given])
    dots = tuple(Dot(_across(x, xs), _up(y, ys), kind, label) for x, y, kind, label in given)
    return Scatter(
        x_label, y_label, dots,
        tuple(Tick(_across(value, xs), figure(value)) for value in (_steps(xs) if "x" in ratios else _whole(given))),
        tuple(Tick(_up(value, ys), figure(value)) for value in _steps(ys)),
        tuple((dot.x, dot.y) for dot in dots) if joined else (),
        _across(1.0, xs) if "x" in ratios and xs[0] <= 1.0 <= xs[1] else None,
        _up(1.0, ys) if "y" in ratios and ys[0] <= 1.0 <= ys[1] else None,
    )  # fmt: skip


def _drawn(value: float) -> float:
    """A figure that can be drawn: differences of larger ones are no numbers."""
    return min(max(value, -LARGEST), LARGEST)


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = 0.08 * (high - low) or 0.08 * abs(high) or 1.0
    return low - room, high + room


def figure(value: float) -> str:
    """Three digits, in as many characters as the room beside an axis has: `1.32`, `221k`, `1.5M`."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size <= abs(value) < 1e12:
            return f"{value / (1e3 if letter == 'k' else size):.3g}{letter}"
    return f"{value:.4g}" if 1000 <= abs(value) < 1e4 else f"{value:.3g}"


def _whole(given: Sequence[tuple[float, float, str, str]]) -> list[float]:
    """The first, a middle and the last of whole numbers."""
    low, high = min(x for x, *_ in given), max(x for x, *_ in given)
    return sorted({low, float((low + high) // 2), high})


def _steps(span: tuple[float, float]) -> list[float]:
    low, high = span
    return [low + part * (high - low) for part in (0.1, 0.5, 0.9)]


def _across(value: float, span: tuple[float, float]) -> float:
    return round(LEFT + (value - span[0]) / (span[1] - span[0]) * (WIDTH - LEFT - RIGHT), 2)


def _up(value: float, span: tuple[float, float]) -> float:
    return round(HEIGHT - BOTTOM - (value - span[0]) / (span[1] - span[0]) * (HEIGHT - TOP - BOTTOM), 2)

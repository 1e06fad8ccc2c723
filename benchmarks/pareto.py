# SPDX-License-Identifier: Apache-2.0
"""Several metrics at once: which candidates no other one beats in everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def front(ratios: Sequence[Mapping[str, float]]) -> list[int]:
    """The indices of the Pareto front, in order: those that no other is at least as good as in all and better in one.

    `ratios` has one mapping a candidate, metric to ratio against the baseline, above 1 the better. Candidates are
    compared in the metrics that all of them have; ValueError where there is none.
    """
    if not ratios:
        return []
    common = set(ratios[0]).intersection(*ratios[1:])
    if not common:
        raise ValueError("the candidates have no metric in common")
    points = [tuple(by_metric[name] for name in sorted(common)) for by_metric in ratios]
    return [i for i, point in enumerate(points) if not any(_dominates(other, point) for other in points)]


def _dominates(point: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return point != other and all(a >= b for a, b in zip(point, other, strict=True))

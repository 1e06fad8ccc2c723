# SPDX-License-Identifier: Apache-2.0
"""A page in Prometheus' text format, and one series of it. By the standard library alone: hosts read it, too."""

from __future__ import annotations

import contextlib
import math
import re

_SERIES = re.compile(r"([A-Za-z_:][A-Za-z0-9_:]{0,127})(?:\{[^}]{0,1000}\})?\s+(\S{1,40})(?:\s+\S+)?", re.ASCII)


def largest_sample(text: str, wanted: str) -> float | None:
    """The largest sample of a series, named with or without labels; None where it has none, or one is no number."""
    found = []
    for line in text.splitlines():
        match = _SERIES.fullmatch(line.strip())
        if match and (match[1] == wanted or line.startswith(wanted + " ")):
            with contextlib.suppress(ValueError):
                found.append(float(match[2]))
    return max(found) if found and all(map(math.isfinite, found)) else None

# SPDX-License-Identifier: Apache-2.0
"""Which metric of a workload is its p99, and in which unit: by its name, as all names here carry their units.

A leaf: the control plane says by it what the p99 was without a policy, and a host's agent what it may be with one.
"""

from __future__ import annotations

import re

_NAME = re.compile(r"(?:[A-Za-z0-9_:]{1,190}_)?p99_(ns|us|ms|s)", re.ASCII)
_UNIT_S = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}


def p99_unit_s(name: str) -> float | None:
    """The unit, in s, of a metric that is called `p99_us` or `…_p99_us` (or ns, ms, s); None for any other metric."""
    found = _NAME.fullmatch(name)
    return _UNIT_S[found[1]] if found else None

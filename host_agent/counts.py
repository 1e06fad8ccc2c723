# SPDX-License-Identifier: Apache-2.0
"""What this agent counts of its own doing; for status and metrics. Times in s."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

REVERT_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


@dataclass(slots=True)
class Counts:
    """Reverts by reason with how long each took, gaps (the kernel in between two schedulers), verdicts on requests."""

    attaches: int = 0
    attach_s: float = 0.0
    gap_s: float = 0.0
    gaps: int = 0
    reverts: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    revert_buckets: list[int] = field(default_factory=lambda: [0] * len(REVERT_BUCKETS))
    revert_sum_s: float = 0.0
    unrecorded: int = 0
    control_seen: float = 0.0  # when the control plane spoke last, in s since the epoch; 0: never

    def attached(self, attach_s: float) -> None:
        """An attachment that took so long in the kernel."""
        self.attaches, self.attach_s = self.attaches + 1, attach_s
        self._gap(attach_s)

    def reverted(self, why: str, revert_s: float, detach_s: float) -> None:
        """A policy was taken off: from the decision to EEVDF on every CPU, and how long the kernel took of it."""
        self.reverts[why] += 1
        self.revert_sum_s += revert_s
        for at, bound in enumerate(REVERT_BUCKETS):
            self.revert_buckets[at] += revert_s <= bound
        self._gap(detach_s)

    def told(self) -> dict[str, Any]:
        """As JSON-ready data."""
        return {
            "attaches": self.attaches, "attach_s": self.attach_s, "gaps": self.gaps, "gap_s": self.gap_s,
            "reverts": dict(self.reverts), "verdicts": dict(self.verdicts), "unrecorded": self.unrecorded,
        }  # fmt: skip

    def _gap(self, seconds: float) -> None:
        self.gaps, self.gap_s = self.gaps + 1, self.gap_s + seconds

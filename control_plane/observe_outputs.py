# SPDX-License-Identifier: Apache-2.0
"""What `schedcp observe --json` prints."""

from __future__ import annotations

from dataclasses import dataclass

from policy_lake.observed import Observed


@dataclass(frozen=True, slots=True)
class ObserveOutput:
    """What was seen, in figures; `targets` says in words what could be won. `picture`: where it is, if it was drawn."""

    observed: Observed
    targets: tuple[str, ...]
    picture: str | None = None

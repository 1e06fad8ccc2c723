# SPDX-License-Identifier: Apache-2.0
"""What `schedcp nights` and its sub-commands print with `--json`."""

from __future__ import annotations

from dataclasses import dataclass

from policy_lake.night import Cause, NightChange


@dataclass(frozen=True, slots=True)
class NightsOutput:
    """Nights, each beside the one before it: of each workload the last, regressions first; or all of one."""

    nights: tuple[NightChange, ...]


@dataclass(frozen=True, slots=True)
class NightsBisectOutput:
    """Why the latest digit changed between two nights of a workload; None where none did."""

    workload: str
    cause: Cause | None


@dataclass(frozen=True, slots=True)
class NightsNotifyOutput:
    """The automations that were made, by name."""

    automations: tuple[str, ...]

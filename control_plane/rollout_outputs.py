# SPDX-License-Identifier: Apache-2.0
"""What `rollout` and `stop` print with --json."""

from __future__ import annotations

from dataclasses import dataclass

from policy_lake.rollout import RolloutDone


@dataclass(frozen=True, slots=True)
class RolloutOutput:
    """A rollout as it ended; its windows are in the lake under `id` (`schedcp lake show`)."""

    id: str
    policy: str
    hosts: tuple[str, ...]
    done: RolloutDone


@dataclass(frozen=True, slots=True)
class StoppedHost:
    """One host: whether it said that it stopped, whether a policy of ours was on, and why not where it did not."""

    host: str
    stopped: bool
    was_attached: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class StopOutput:
    """Every host that was to stop."""

    hosts: tuple[StoppedHost, ...]

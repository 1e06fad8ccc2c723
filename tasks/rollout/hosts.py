# SPDX-License-Identifier: Apache-2.0
"""What a rollout needs of a host, however it is reached; and which hosts a step is on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, TypeVar

from policy_lake.errors import SchedcpError
from policy_lake.rollout import Arm, HostCount, RolloutPlan, Step, Window


class HostError(SchedcpError):
    """Something on the way ended it: on which host, and `code` is the word for why, by which code decides."""

    def __init__(self, message: str, *, host: str, code: str) -> None:
        super().__init__(message)
        self.host, self.code = host, code


class RefusedError(HostError):
    """The host's agent does not take the policy."""


class TakenBackError(HostError):
    """The host took the policy back by itself: its breaker tripped, or the kernel ended it."""


class HostLostError(HostError):
    """The host does not answer. Its agent takes a policy with a lease back by itself."""


class Host(Protocol):
    """One host, as somebody reaches it. Every call may raise HostLostError."""

    @property
    def name(self) -> str:
        """As the plan and the evidence name it."""

    def try_out(self, step: Step, plan: RolloutPlan) -> str:
        """Load, verify, unload; returns the ops' name as the kernel had it. RefusedError, TakenBackError.

        RefusedError, too, where the host measures nothing by the name of one of the plan's metrics.
        """

    def window(self, arm: Arm, block: int, step: Step, plan: RolloutPlan, *, beside: bool = False) -> Window:
        """One window of an arm: attach or detach as it says, settle, measure. RefusedError, TakenBackError.

        `beside`: the host is a control, on which nothing is attached whatever the arm is.
        """

    def keep(self, step: Step) -> None:
        """Attach for good: the policy stays when the control plane goes. RefusedError, TakenBackError."""

    def take_back(self) -> None:
        """Detach what we attached; nothing where nothing is. HostError says what becomes of it."""


H = TypeVar("H")


def hosts_of(step: Step, hosts: Sequence[H], plan: RolloutPlan) -> tuple[H, ...]:
    """The hosts of a step, the first ones first; `some` are at least two, and fewer than all where there are three."""
    counts: dict[HostCount, int] = {"one": 1, "some": max(2, math.ceil(plan.share * len(hosts))), "all": len(hosts)}
    return tuple(hosts[: counts[step.hosts]])

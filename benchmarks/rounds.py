# SPDX-License-Identifier: Apache-2.0
"""The runs of a score and their order, which the steps are made by and the events are read by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.statistics import orders
from policy_lake.events import Role
from policy_lake.limits import GUEST_PAIRS


@dataclass(frozen=True, slots=True)
class Rounds:
    """`pairs` rounds from number `first` on: baseline and policy, and a second policy as `control` on request.

    `attached` is False for an A/A run, in which the policy's turn is the baseline once more: a difference is noise.
    InputError for none, or for more rounds than a guest takes. (An interval needs two.)
    """

    pairs: int
    first: int = 0
    control: bool = False
    attached: bool = True

    def __post_init__(self) -> None:
        GUEST_PAIRS.check(self.pairs)

    @property
    def roles(self) -> tuple[Role, ...]:
        return ("baseline", "policy", "control") if self.control else ("baseline", "policy")

    def turns(self) -> Iterator[tuple[int, Role]]:
        """Every run with the number of its round, in order."""
        for index, order in enumerate(orders(self.pairs, self.roles)):
            yield from ((self.first + index, role) for role in order)

    def attaches(self, role: Role) -> bool:
        """Whether something is attached for this run."""
        return role == "control" or (role == "policy" and self.attached)

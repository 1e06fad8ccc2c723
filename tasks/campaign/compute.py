# SPDX-License-Identifier: Apache-2.0
"""Work of any kind through guest slots, a few pieces ahead of them, however many there are in all."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Generic, Protocol, TypeVar

from tasks.fleet.fan_out import ItemOutcome

AHEAD = 3  # pieces that are out for each slot: one at work, the others so that it never waits

Item = TypeVar("Item")
Value = TypeVar("Value")
Name = TypeVar("Name", bound=Hashable)


class Slots(Protocol[Item, Value]):
    """Guest slots, here or on a cluster (tasks/trial/local.py, tasks/fleet/fan_out.py)."""

    def submit(self, function: Callable[[Item], Value], item: Item) -> int:
        """Queue one piece of work; the index that its outcome will have."""

    def __iter__(self) -> Iterator[ItemOutcome[Value]]:
        """Outcomes in the order in which they end, until nothing is out; work may be queued meanwhile."""


class Stream(Generic[Name, Item, Value]):
    """Pieces of work by name, each submitted once; iterating yields names with what became of them.

    `slots_now` is asked before each submission: nodes come and go. When `enough` says so, nothing more goes out, and
    what is out is awaited; `left` is then how it is known that pieces were left.
    """

    def __init__(
        self, slots: Slots[Item, Value], function: Callable[[Item], Value], *, slots_now: Callable[[], int],
        enough: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        self._slots, self._function, self._slots_now, self._enough = slots, function, slots_now, enough
        self._names: dict[int, Name] = {}
        self.submitted = 0
        self.left = False

    def through(self, pieces: Iterable[tuple[Name, Item]]) -> Iterator[tuple[Name, ItemOutcome[Value]]]:
        """All pieces; they are drawn as there is room for them, so that they need not all be there at once."""
        waiting = iter(pieces)
        self._fill(waiting)
        while self._names:
            for outcome in self._slots:
                yield self._names.pop(outcome.index), outcome
                self._fill(waiting)

    def _fill(self, waiting: Iterator[tuple[Name, Item]]) -> None:
        most = AHEAD * max(1, self._slots_now())
        while not self.left and len(self._names) < most:
            piece = next(waiting, None)
            if piece is None:
                return
            if self._enough():
                self.left = True
                return
            self._names[self._slots.submit(self._function, piece[1])] = piece[0]
            self.submitted += 1

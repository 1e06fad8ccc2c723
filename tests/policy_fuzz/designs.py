# SPDX-License-Identifier: Apache-2.0
"""What sound policies differ in: the dimensions, which of their values go together, and a choice by seed."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

DIMENSIONS: dict[str, tuple[str, ...]] = {
    "queues": ("fifo", "vtime", "due", "percpu", "group", "hash", "bands", "pids"),
    "select": ("default", "place", "direct", "pick", "core", "prev", "kick"),
    "slice": ("constant", "knob", "weight"),
    "slice_ms": ("2", "3", "5", "8", "10", "15"),
    "pinned": ("queue", "kthread", "local"),
    "storage": ("none", "task", "hash"),
    "wake": ("primitive", "own", "two"),
    "dispatch": ("one", "keep", "batch"),
    "cut": ("no", "yes"),
    "recheck": ("no", "yes"),
    "yields": ("no", "yes"),
    "groups": ("no", "weights"),
    "flag": ("none", "last", "exiting", "queued_wakeup"),
    "hotplug": ("yes", "no"),
    "number": ("2", "4", "8"),
}
# One queue for all CPUs.
SHARED = frozenset(("fifo", "vtime", "due", "pids"))
ORDERED = frozenset(("vtime", "due"))
# Few of all combinations have shares for cgroups: these values go together, the rest is free.
GROUPED = {"queues": "fifo", "groups": "weights", "slice": "constant", "slice_ms": "5", "storage": "task", "cut": "yes",
           "dispatch": "one", "yields": "no", "number": "2"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Design:
    """One value of every dimension. `number` is of queues, where there are several, or the variant of an order."""

    queues: str
    select: str
    slice: str
    slice_ms: str
    pinned: str
    storage: str
    wake: str
    dispatch: str
    cut: str
    recheck: str
    yields: str
    groups: str
    flag: str
    hotplug: str
    number: str

    def __str__(self) -> str:
        return " ".join(f"{one.name}={getattr(self, one.name)}" for one in fields(self))

    @property
    def shared(self) -> bool:
        return self.queues in SHARED

    @property
    def short_ms(self) -> int:
        """The slice of a task of nice 0."""
        return int(self.slice_ms)

    def objection(self) -> str:
        """Why these values do not make a sound policy, or mean nothing together; empty if they do."""
        rules = {
            "eighty hogs take longer than the stall's limit": self.cut == "no" and self.short_ms > 5,
            "slices by weight need their bound": self.slice == "weight" and self.cut == "no",
            "vtime is charged through the task's record": self.queues == "vtime" and self.storage != "task",
            "vtime is fair by weight already": self.queues == "vtime" and self.slice == "weight",
            "vtime decides by itself who goes on": self.queues == "vtime" and self.dispatch == "batch",
            "a second task is taken from one shared queue only": self.dispatch == "batch" and not self.shared,
            "a second task waits twice as long": self.dispatch == "batch" and self.short_ms > 5,
            "a number in a BPF queue must be a living task's": self.queues == "pids" and self.flag == "exiting",
            "a task by its number needs no more": self.queues == "pids" and self.slice == "weight",
            "groups have their share by slices of one queue": self.groups != "no"
            and (self.queues != "fifo" or self.slice != "constant" or self.storage != "task" or self.cut == "no"
                 or self.dispatch != "one" or self.slice_ms != "5"),
            "light bands wait for four times the turns of all heavy ones": self.queues == "bands"
            and (self.short_ms > 3 or self.slice == "weight"),
            "a yield is another matter than groups": self.groups != "no" and self.yields != "no",
            "there is but one queue": self.queues in ("fifo", "percpu", "pids") and self.number != "2",
            "bound tasks that go first starve the long slices": self.pinned == "local" and self.short_ms > 5,
        }  # fmt: skip
        return next((why for why, wrong in rules.items() if wrong), "")


def all_designs() -> Iterator[Design]:
    """Every sound one, in the order of the dimensions."""
    for values in itertools.product(*DIMENSIONS.values()):
        design = Design(*values)
        if not design.objection():
            yield design


def some_designs(count: int, seed: int) -> tuple[Design, ...]:
    """So many different ones, each kind of queue as often, one of 16 with shares for cgroups."""
    grouped = _chosen(count // 16, random.Random(f"{seed} groups"), [GROUPED])
    kinds = [{"queues": queues} for queues in DIMENSIONS["queues"]]
    return (*_chosen(count - len(grouped), random.Random(seed), kinds), *grouped)


def _chosen(count: int, chance: random.Random, fixed: Sequence[dict[str, str]]) -> list[Design]:
    """Different sound ones at random; the fixed values take turns. The first are the same for any larger count."""
    chosen: dict[Design, None] = {}
    while len(chosen) < count:
        values = {name: chance.choice(of) for name, of in DIMENSIONS.items()}
        design = Design(**(values | fixed[len(chosen) % len(fixed)]))
        if not design.objection():
            chosen[design] = None
    return list(chosen)

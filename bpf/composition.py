# SPDX-License-Identifier: Apache-2.0
"""What a composed policy is made of: independent choices, and which of them do not go together.

Every ordered queue is ordered by real due time (primitives/due.bpf.h), so an order is a rule of how long a task can be
put off, and nobody starves whatever the rule says.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal

from policy_lake.errors import InputError

Order = Literal["fifo", "woken", "vtime", "deadline", "shortest", "interactive", "longest"]
Queues = Literal["one", "llc", "cpu"]
Place = Literal["kernel", "previous", "core", "warm", "two"]
Slice = Literal["bounded", "weight", "burst"]
Preempt = Literal["none", "woken", "earlier"]
Steal = Literal["none", "empty", "imbalance", "overdue"]
Class = Literal["none", "nice", "burst", "kthread"]
Guard = Literal["round", "short"]
Refusal = Literal["value", "name", "text", "preset", "order", "place", "slice", "preempt", "steal", "class", "guard"]

NAME = re.compile(r"[a-z][a-z0-9_]{0,14}")
TEXT_LIMIT = 2000  # characters of one part of an essay
HISTORY = frozenset(("shortest", "longest"))  # orders that look at a task's bursts
OWN_ORDER = frozenset(("vtime", "deadline", "shortest", "interactive", "longest"))  # tell any two tasks apart


class CompositionError(InputError):
    """These choices make no policy; `code` is which rule they break."""

    def __init__(self, code: Refusal, message: str) -> None:
        super().__init__(message)
        self.code: Refusal = code

    def __reduce__(self) -> tuple[typing.Any, ...]:
        return type(self), (self.code, str(self))


@dataclass(frozen=True, slots=True)
class Preset:
    """Another default of a knob, as C, and the range that goes with it."""

    knob: str
    default: str
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Essay:
    """What a policy says of itself; `what` is made from the choices where it is empty."""

    title: str
    good_for: str
    weak_at: str
    workloads: tuple[str, ...] = ("batch",)
    what: str = ""


@dataclass(frozen=True, slots=True)
class Composition:
    """A policy by its choices; CompositionError for what cannot work. bpf/composing/words.py says what each value does.

    `name` is the policy's id and the prefix of its C names. Without an essay one is made from the choices.
    """

    name: str
    order: Order = "fifo"
    queues: Queues = "one"
    place: Place = "kernel"
    slice: Slice = "bounded"
    preempt: Preempt = "none"
    steal: Steal = "none"
    classes: Class = "none"
    guard: Guard = "round"
    essay: Essay | None = None
    presets: tuple[Preset, ...] = ()

    def __post_init__(self) -> None:
        for name, values in CHOICES.items():
            if getattr(self, name) not in values:
                raise CompositionError("value", f"{name}: '{getattr(self, name)}' is none of {', '.join(values)}")
        if not NAME.fullmatch(self.name):
            raise CompositionError("name", f"name: '{self.name[:40]}' is not 1 to 15 of a-z, 0-9, _, a letter first")
        for part in _texts(self.essay):
            if "*/" in part or not part.isprintable() or len(part) > TEXT_LIMIT:
                raise CompositionError("text", f"essay: '{part[:40]}' cannot stand in a comment of C")
        for rule in RULES:
            if rule.breaks(self):
                raise CompositionError(rule.code, f"policy '{self.name}': {rule.reason}")

    @property
    def due(self) -> bool:
        """Whether its queues are ordered; else who came first goes first."""
        return self.order != "fifo" or self.classes != "none"

    @property
    def keeps(self) -> bool:
        """Whether a task whose slice ended goes on while it would be the first again."""
        return self.order in OWN_ORDER or self.classes != "none"

    @property
    def several(self) -> bool:
        """Whether there is more than one queue."""
        return self.queues != "one"

    @property
    def bursts(self) -> bool:
        """Whether it remembers of each task how much CPU time it uses between wake-up and sleep."""
        return self.order in HISTORY or self.classes == "burst" or self.slice == "burst"

    @property
    def remembers(self) -> bool:
        """Whether it keeps a record of each task."""
        return self.bursts or self.order in ("vtime", "interactive")

    def mechanisms(self) -> tuple[tuple[str, str], ...]:
        """The choices as an essay's `Mechanisms:` names them."""
        return tuple((MECHANISM.get(name, name), getattr(self, name)) for name in CHOICES)


def _texts(essay: Essay | None) -> tuple[str, ...]:
    return (essay.title, essay.good_for, essay.weak_at, essay.what, *essay.workloads) if essay else ()


@dataclass(frozen=True, slots=True)
class Rule:
    """Choices that do not go together, and why."""

    code: Refusal
    reason: str
    breaks: Callable[[Composition], bool]


CHOICES: dict[str, tuple[str, ...]] = {
    one.name: typing.get_args(of)
    for one in fields(Composition)
    if typing.get_origin(of := typing.get_type_hints(Composition)[one.name]) is Literal
}
MECHANISM = {"classes": "class"}
RULES = (
    Rule(
        "steal", "with one queue there is nothing to take from another", lambda c: not c.several and c.steal != "none"
    ),
    Rule(
        "steal",
        "with several queues CPUs would idle beside another's tasks: it needs a way to take them",
        lambda c: c.several and c.steal == "none",
    ),
    Rule(
        "steal", "a queue in order of arrival has no due time to be past", lambda c: c.steal == "overdue" and not c.due
    ),
    Rule(
        "place", "two queues are compared where each CPU has its own", lambda c: c.place == "two" and c.queues != "cpu"
    ),
    Rule(
        "preempt",
        "who wakes queues behind all others, so ending a turn would let somebody else run",
        lambda c: c.preempt != "none" and c.order == "fifo" and c.classes == "none",
    ),
    Rule(
        "preempt",
        "who wakes is not due any earlier for it: end a turn for who is due earlier",
        lambda c: c.preempt == "woken" and c.order in ("fifo", "deadline", "longest"),
    ),
    Rule(
        "preempt",
        "whoever wakes is due before all that run: end a turn for who wakes",
        lambda c: c.preempt == "earlier" and c.order == "woken",
    ),
    Rule("slice", "vtime gives more time to more weight already", lambda c: c.slice == "weight" and c.order == "vtime"),
    Rule(
        "slice",
        "long turns would keep those waiting whom the order wants to be served soon",
        lambda c: c.slice == "burst" and c.order in ("woken", "interactive"),
    ),
    Rule(
        "class",
        "the order goes by nice level already",
        lambda c: c.classes == "nice" and c.order in ("vtime", "deadline"),
    ),
    Rule(
        "class",
        "the order goes by bursts already",
        lambda c: c.classes == "burst" and c.order in ("shortest", "longest", "interactive"),
    ),
    Rule("guard", "nobody is put off in a queue in order of arrival", lambda c: c.guard == "short" and not c.due),
)

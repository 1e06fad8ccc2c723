# SPDX-License-Identifier: Apache-2.0
"""The knobs of a composed policy: those of its choices, each with a default, a range and a meaning."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from bpf.composition import Composition, CompositionError, Preset

UNITS = {"SX_US": 10**3, "SX_MS": 10**6, "SX_SEC": 10**9}
DEFAULT = re.compile(r"([0-9]{1,18})(?: \* (SX_US|SX_MS|SX_SEC))?")


@dataclass(frozen=True, slots=True)
class KnobLine:
    """A knob of a composition; `default` is C."""

    name: str
    default: str
    low: int
    high: int
    doc: str
    unit: str = "ns"
    c_type: str = "u64"

    def line(self) -> str:
        """Its declaration, as bpf/library.py reads it."""
        what = f"{self.unit}, {self.low}..{self.high}: {self.doc}"
        return f"const volatile {self.c_type} {self.name} = {self.default}; /* {what} */"


SLICE = KnobLine("slice_ns", "5 * SX_MS", 500_000, 100_000_000, "longest time on a CPU while others wait")
WAIT = KnobLine("wait_ns", "200 * SX_MS", 10_000_000, 1_000_000_000, "the longest that a task is put off")
BURST = KnobLine(
    "burst_ns", "4 * SX_MS", 500_000, 50_000_000, "CPU time between wake-up and sleep up to which a burst is short"
)
CHOSEN: dict[tuple[str, str], tuple[KnobLine, ...]] = {
    ("order", "woken"): (
        KnobLine("expired_wait_ns", "10 * SX_MS", 0, 500_000_000,
                 "how long waking tasks may pass one whose slice ended"),
    ),
    ("order", "vtime"): (
        KnobLine("lag_ns", "20 * SX_MS", 0, 200_000_000, "most credit a task can bring back from sleep"),
        KnobLine("wait_ns", "500 * SX_MS", 50_000_000, 1_000_000_000, "longest wait that a low weight can cause"),
    ),
    ("order", "deadline"): (
        KnobLine("deadline_ns", "10 * SX_MS", 0, 100_000_000, "after how long a task of nice 0 is due"),
        replace(WAIT, default="300 * SX_MS"),
    ),
    ("order", "shortest"): (
        KnobLine("stretch", "8", 1, 64,
                 "how many times its expected burst a task is put off", unit="times", c_type="u32"),
        WAIT,
    ),
    ("order", "interactive"): (WAIT,),
    ("order", "longest"): (
        KnobLine("long_ns", "100 * SX_MS", 1_000_000, 100_000_000_000, "CPU time with which a job counts as long"),
        replace(WAIT, default="400 * SX_MS"),
        BURST,
    ),
    ("place", "warm"): (
        KnobLine("warm_ns", "20 * SX_MS", 100_000, 1_000_000_000, "how long after its last turn a CPU counts as warm"),
    ),
    ("slice", "burst"): (
        KnobLine("long_slice_ns", "40 * SX_MS", 1_000_000, 100_000_000,
                 "longest slice of a task whose bursts are long"),
    ),
    ("preempt", "woken"): (
        KnobLine("preempt", "true", 0, 1,
                 "a waking task that finds no idle CPU ends a running task's turn", c_type="bool"),
        KnobLine("protect_ns", "100 * SX_US", 0, 10_000_000, "a turn is not ended by a waking task before this"),
    ),
    ("preempt", "earlier"): (
        KnobLine("protect_ns", "500 * SX_US", 0, 10_000_000, "a turn is not ended by another task before this"),
        KnobLine("margin_ns", "1 * SX_MS", 0, 500_000_000,
                 "how much later a running task must be due to lose its turn"),
    ),
    ("steal", "empty"): (
        KnobLine("visit_every", "8", 2, 64,
                 "after how many turns another's queue goes first", unit="turns", c_type="u32"),
    ),
    ("steal", "imbalance"): (
        KnobLine("imbalance", "1", 1, 64,
                 "how much longer a queue must be than one's own to be taken from", unit="tasks", c_type="u32"),
        KnobLine("probes", "4", 1, 64,
                 "how many others are compared with one's own at each turn", unit="queues", c_type="u32"),
    ),
    ("steal", "overdue"): (
        KnobLine("overdue_ns", "20 * SX_MS", 0, 500_000_000,
                 "how long past its due time another queue's first must be to be taken"),
    ),
    ("classes", "burst"): (BURST,),
    ("guard", "short"): (
        KnobLine("aged_ns", "100 * SX_MS", 1_000_000, 500_000_000,
                 "how long past its due time a task has waited too long"),
        KnobLine("aged_slice_ns", "4 * SX_MS", 500_000, 20_000_000, "turn of a task that has waited too long"),
    ),
}  # fmt: skip
BACKGROUND = KnobLine("background_wait_ns", "100 * SX_MS", 0, 500_000_000, "how long background work is put off on top")


def knobs_of(c: Composition) -> tuple[KnobLine, ...]:
    """Its knobs in the order of its choices, with its presets; CompositionError for a preset that is none of theirs."""
    made = {SLICE.name: SLICE}
    for choice in ("order", "place", "slice", "preempt", "steal", "classes", "guard"):
        made |= {knob.name: knob for knob in CHOSEN.get((choice, getattr(c, choice)), ())}
    if c.classes != "none":
        made[BACKGROUND.name] = BACKGROUND
    for preset in c.presets:
        made[preset.knob] = _preset(c, made.get(preset.knob), preset)
    return tuple(made.values())


def _preset(c: Composition, knob: KnobLine | None, preset: Preset) -> KnobLine:
    if knob is None or knob.c_type == "bool":
        raise CompositionError("preset", f"policy '{c.name}': it has no number '{preset.knob[:40]}' to preset")
    default = DEFAULT.fullmatch(preset.default)
    value = int(default[1]) * UNITS.get(default[2], 1) if default else -1
    if not 0 <= preset.low <= value <= preset.high < 2 ** int(knob.c_type[1:]):
        words = f"'{preset.default[:40]}' is no number of {preset.low}..{preset.high}, such as 5 * SX_MS"
        raise CompositionError("preset", f"policy '{c.name}': {preset.knob}: {words}")
    return replace(knob, default=preset.default, low=preset.low, high=preset.high)


def declaration(knob: KnobLine) -> str:
    """Its line; a bool has no range."""
    if knob.c_type == "bool":
        return f"const volatile bool {knob.name} = {knob.default}; /* {knob.doc} */"
    return knob.line()

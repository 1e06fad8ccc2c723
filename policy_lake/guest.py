# SPDX-License-Identifier: Apache-2.0
"""What a guest is given and what comes back: a leaf, like model.py, that every package may import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from policy_lake.model import Clock


@dataclass(frozen=True, slots=True)
class GuestStep:
    """One step of a guest job: `attach OBJECT KNOB=VALUE…`, `detach`, or `run PROGRAM ARG…`, ended at `timeout_s`.

    `start PROGRAM ARG…` and `stop` run a program beside the steps between them.
    """

    verb: Literal["attach", "detach", "run", "start", "stop"]
    args: tuple[str, ...] = ()
    label: str = ""
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class GuestJob:
    """What a guest does: files it is given, then steps in order, up to the first that fails.

    `seed` goes into its random numbers and its timer's phase: another seed is another, equally valid run.
    """

    files: dict[str, bytes]
    steps: tuple[GuestStep, ...]
    seed: int = 0


@dataclass(frozen=True, slots=True)
class ClockCounts:
    """What the clock counted in one run of QEMU.

    `fallbacks` are waits that it gave up: such a run is not a function of the guest alone. `fingerprint` covers every
    slot of every vCPU with its virtual time, `switches` and `switch_hash` every context switch with its own (none where
    the guest was not started from a snapshot, for nobody knows then where its kernel does that).
    """

    fallbacks: int
    virtual_s: float
    fingerprint: str
    slots: int
    switches: int
    switch_hash: str
    host_moves: int


@dataclass(frozen=True, slots=True)
class GuestReport:
    """What came back: one event per step that was started, the kernel's release, and the console as evidence."""

    events: tuple[dict[str, Any], ...]
    kernel: str
    accel: str
    seconds: float
    console: str
    clock: Clock = "wall"
    counts: ClockCounts | None = None

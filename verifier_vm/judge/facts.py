# SPDX-License-Identifier: Apache-2.0
"""What the loader saw in an object before the kernel had it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from policy_lake.errors import InfraError
from policy_lake.events import Attached
from verifier_vm.verdict import HOTPLUG_CALLBACKS

FLAGS = re.compile(r"[0-9a-f]{1,16}", re.ASCII)
KEEP_BUILTIN_IDLE = 1  # SCX_OPS_KEEP_BUILTIN_IDLE


@dataclass(frozen=True, slots=True)
class Facts:
    """What the loader saw in the object: its callbacks, ring buffers to a program beside it, and its flags."""

    callbacks: frozenset[str] = frozenset()
    outlets: tuple[str, ...] = ()
    flags: int = 0

    @property
    def tracks_idle_itself(self) -> bool:
        return "update_idle" in self.callbacks and not self.flags & KEEP_BUILTIN_IDLE

    @property
    def ends_by_hotplug(self) -> bool:
        return not self.callbacks >= HOTPLUG_CALLBACKS

    @property
    def needs_a_program(self) -> bool:
        return bool(self.outlets)


def read_facts(event: Attached) -> Facts:
    """The facts that the loader reported; none when it did not come that far. InfraError for flags that are none."""
    line = next((line for line in event.log.splitlines() if line.startswith("has:")), "has:")
    words = line.split()[1:]
    maps = tuple(word.removeprefix("map:") for word in words if word.startswith("map:"))
    flags = next((word.removeprefix("flags:") for word in words if word.startswith("flags:")), "0")
    if not FLAGS.fullmatch(flags):
        raise InfraError(f"step '{event.label}': the loader's flags of the ops are no number in hex: {flags[:40]!r}")
    return Facts(frozenset(word for word in words if ":" not in word), maps, int(flags, 16))

# SPDX-License-Identifier: Apache-2.0
"""What the loader saw in an object before the kernel had it."""

from __future__ import annotations

from dataclasses import dataclass

from policy_lake.events import Attached, Declared
from verifier_vm.object.proven import NOTHING, Proven
from verifier_vm.verdict import HOTPLUG_CALLBACKS

KEEP_BUILTIN_IDLE = 1  # SCX_OPS_KEEP_BUILTIN_IDLE


@dataclass(frozen=True, slots=True)
class Facts(Declared):
    """What the loader saw in the object, what is proven of it, and what follows."""

    proven: Proven = NOTHING

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
    """The facts of an attachment; none when the loader did not come that far."""
    return Facts(event.declared.callbacks, event.declared.outlets, event.declared.flags)

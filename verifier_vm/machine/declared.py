# SPDX-License-Identifier: Apache-2.0
"""What the guest's loader says of an object before the kernel has it: `has: CALLBACK… map:NAME… flags:HEX`."""

from __future__ import annotations

import re

from policy_lake.errors import InfraError
from policy_lake.events import Declared

FLAGS = re.compile(r"[0-9a-f]{1,16}", re.ASCII)


def parse_declared(log: str, *, where: str) -> Declared:
    """The line in the loader's log; nothing where it did not come that far. InfraError for flags that are none."""
    line = next((line for line in log.splitlines() if line.startswith("has:")), "has:")
    words = line.split()[1:]
    maps = tuple(word.removeprefix("map:") for word in words if word.startswith("map:"))
    flags = next((word.removeprefix("flags:") for word in words if word.startswith("flags:")), "0")
    if not FLAGS.fullmatch(flags):
        raise InfraError(f"{where}: the loader's flags of the ops are no number in hex: {flags[:40]!r}")
    return Declared(frozenset(word for word in words if ":" not in word), maps, int(flags, 16))

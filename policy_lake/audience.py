# SPDX-License-Identifier: Apache-2.0
"""The host that tokens are for, by name, as the host and whoever plans for it derive it alike. A leaf."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path

MACHINE_ID = Path("/etc/machine-id")


def machine_audience(machine_id: Path = MACHINE_ID) -> str:
    """The name that follows from the machine's id, which itself stays private."""
    try:
        machine = machine_id.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        machine = ""
    # An image that was copied before its first boot has an empty id, or the word "uninitialized".
    if len(machine) != 32:
        return f"host:{platform.node()}"
    return f"machine:{hashlib.sha256(f'schedcp {machine}'.encode()).hexdigest()[:32]}"

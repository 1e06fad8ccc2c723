# SPDX-License-Identifier: Apache-2.0
"""The host that tokens are for, by name."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path

from tasks.host.settings import Settings

MACHINE_ID = Path("/etc/machine-id")


def audience(settings: Settings) -> str:
    """The host that tokens are for: SCHEDCP_AUDIENCE, else derived from its machine id, which itself stays private."""
    if settings.audience:
        return settings.audience
    try:
        machine = MACHINE_ID.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        machine = ""
    # An image that was copied before its first boot has an empty id, or the word "uninitialized".
    if len(machine) != 32:
        return f"host:{platform.node()}"
    return f"machine:{hashlib.sha256(f'schedcp {machine}'.encode()).hexdigest()[:32]}"

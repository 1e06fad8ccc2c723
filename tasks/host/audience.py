# SPDX-License-Identifier: Apache-2.0
"""The host that tokens are for: the one that the settings name, or this one."""

from __future__ import annotations

from policy_lake.audience import MACHINE_ID, machine_audience
from tasks.host.settings import Settings


def audience(settings: Settings) -> str:
    """SCHEDCP_AUDIENCE, else the name that follows from this machine's id."""
    return settings.audience or machine_audience(MACHINE_ID)

# SPDX-License-Identifier: Apache-2.0
"""The lake as the settings name it."""

from __future__ import annotations

from policy_lake.embed import embedder
from policy_lake.lake import Lake
from tasks.host.settings import Settings


def open_lake(settings: Settings) -> Lake:
    """The lake at its place with its embedder; nothing is written before the first `put`."""
    return Lake(settings.lake_dir, embedder=embedder(settings.embedder))

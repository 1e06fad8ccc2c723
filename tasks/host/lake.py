# SPDX-License-Identifier: Apache-2.0
"""The lake as the settings name it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from policy_lake.embed import embedder
from policy_lake.lake import Lake
from tasks.host.in_use import hold
from tasks.host.settings import Settings


def open_lake(settings: Settings) -> Lake:
    """The lake at its place with its embedder; nothing is written before the first `put`."""
    hold(settings.data_dir)
    return _opened(settings.lake_dir, settings.embedder)


@lru_cache(maxsize=8)
def _opened(place: Path, spec: str) -> Lake:
    # One handle a place: tables and word vectors are read once, not by each stage of a run.
    return Lake(place, embedder=embedder(spec))

# SPDX-License-Identifier: Apache-2.0
"""Which C sources make which of the guest's workload programs."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "guest"


def program_sources(folder: Path = FOLDER) -> dict[str, tuple[Path, ...]]:
    """The sources by program: NAME.c makes `NAME`, together with every NAME_*.c beside it."""
    sources = sorted(folder.glob("*.c"))
    names = {source.stem for source in sources}
    sources_of: dict[str, tuple[Path, ...]] = {}
    for source in sources:
        parts = source.stem.split("_")
        owners = ("_".join(parts[:length]) for length in range(1, len(parts)))
        owner = next((name for name in owners if name in names), source.stem)
        sources_of[owner] = (*sources_of.get(owner, ()), source)
    return sources_of


def program_headers(folder: Path = FOLDER) -> tuple[Path, ...]:
    """The headers of all of them: a change in one makes another image."""
    return tuple(sorted(folder.glob("*.h")))

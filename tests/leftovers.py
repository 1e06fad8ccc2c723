# SPDX-License-Identifier: Apache-2.0
"""What a test left running."""

from __future__ import annotations

from pathlib import Path


def processes(*needles: str) -> list[int]:
    """Processes whose command line has every needle."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if words and all(needle in words for needle in needles):
            found.append(int(entry.name))
    return found

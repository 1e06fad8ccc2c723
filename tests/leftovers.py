# SPDX-License-Identifier: Apache-2.0
"""What a test left running."""

from __future__ import annotations

import time
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


def runs(pid: int) -> bool:
    """Whether a process runs; one that ended and that nobody reaps does not (PID 1 of a container may be a test)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def any_runs(pids: list[int], within_s: float = 5.0) -> bool:
    """Whether a process still runs after so long; one that was killed ends when its CPU gets to it, not at once."""
    until = time.monotonic() + within_s
    while any(map(runs, pids)):
        if time.monotonic() > until:
            return True
        time.sleep(0.02)
    return False


def children(parent: int) -> list[tuple[int, str]]:
    """Ids and names of a process's children, those that have ended and that it has not reaped among them."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "stat").read_text()
        except OSError:
            continue
        name, _, rest = words.partition("(")[2].rpartition(") ")
        if int(rest.split()[1]) == parent:
            found.append((int(entry.name), name))
    return found

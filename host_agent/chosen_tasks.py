# SPDX-License-Identifier: Apache-2.0
"""The tasks of one cgroup moved into the class SCHED_EXT, for a policy with SWITCH_PARTIAL, and back."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from host_agent.journal import Action
from host_agent.protocol import RefusedError

SCHED_OTHER, SCHED_EXT = 0, 7
ROUNDS = 20  # a task may fork while it is looked at; its child inherits the class


class ChosenTasks:
    """Cgroups below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def check(self, cgroup: str) -> str:
        """The cgroup's path as it is kept; RefusedError unless it is one below the root."""
        path = (self._root / cgroup.lstrip("/")).resolve()
        if not path.is_relative_to(self._root.resolve()) or not (path / "cgroup.threads").is_file():
            raise RefusedError("bad_request", f"attach: {cgroup!r} is no cgroup of this host")
        return str(path)

    def switch(self, cgroup: str) -> int:
        """Moves all its tasks into SCHED_EXT; how many there were."""
        return self._set(cgroup, SCHED_OTHER, SCHED_EXT)

    async def undo(self, action: Action) -> None:
        """Moves its tasks back. A cgroup that is gone has none."""
        self._set(str(action.given["cgroup"]), SCHED_EXT, SCHED_OTHER)

    def _set(self, cgroup: str, of: int, to: int) -> int:
        moved = 0
        for _ in range(ROUNDS):
            before = moved
            for path in [Path(cgroup), *(at for at in Path(cgroup).rglob("*") if at.is_dir())]:
                for task in self._tasks(path):
                    with contextlib.suppress(OSError):  # it ended, or the kernel has it in another class for good
                        if os.sched_getscheduler(task) == of:
                            os.sched_setscheduler(task, to, os.sched_param(0))
                            moved += 1
            if moved == before:
                break
        return moved

    def _tasks(self, path: Path) -> list[int]:
        try:
            return [int(word) for word in (path / "cgroup.threads").read_text().split()]
        except (OSError, ValueError):
            return []

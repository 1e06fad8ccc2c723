# SPDX-License-Identifier: Apache-2.0
"""A user's machine after set-up, on which the tests run commands as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from leftovers import processes

ROOT = Path(__file__).parents[2]
SCHEDCP = Path(sys.executable).parent / "schedcp"
MARK = "SCHEDCP_TEST_MARK"
SMALL = ("--iterations", "1", "--per-iteration", "2", "--pairs", "4")


class Home:
    """A user's machine after set-up: the real cache, and data, Prefect and temporary files of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.mark = f"{os.getpid()}-{root.name}"
        (root / "tmp").mkdir()
        dropped = ("RAY_", "PREFECT_", "SCHEDCP_")
        self.env = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
        self.env |= {
            "XDG_DATA_HOME": str(root / "data"), "PREFECT_HOME": str(root / "prefect"), "TMPDIR": str(root / "tmp"),
            "XDG_RUNTIME_DIR": str(root / "tmp"), "PYTHONPATH": str(ROOT), MARK: self.mark,
        }  # fmt: skip

    def run(self, *args, timeout_s=500, **env):
        return subprocess.run(
            [SCHEDCP, *args], capture_output=True, text=True, timeout=timeout_s, check=False, env={**self.env, **env}
        )

    def running(self):
        """Command lines of the processes that inherited our mark."""
        found = []
        for pid in processes(""):
            try:
                if f"{MARK}={self.mark}".encode() in Path(f"/proc/{pid}/environ").read_bytes():
                    found.append(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[:200])
            except OSError:
                continue
        return found

    def guests(self):
        return [line for line in self.running() if line.startswith("qemu-system")]

    def left_running(self):
        """What is still there of it after a few seconds: Ray's agents end a moment after their cluster."""
        limit = time.monotonic() + 10
        while (found := self.running()) and time.monotonic() < limit:
            time.sleep(0.2)
        return found

# SPDX-License-Identifier: Apache-2.0
"""`make bench`: what the project promises, measured on this machine in one run, each figure beside its target."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from control_plane.bench.figures import Figure, main

ROOT = Path(__file__).parents[2]
SCHEDCP = str(Path(sys.executable).parent / "schedcp")
MARK = "SCHEDCP_BENCH_MARK"
SAMPLE_S = 1.0


class PeakMemory:
    """The peak of the proportional set sizes of every process that inherited our mark, sampled once a second."""

    def __init__(self, mark: str) -> None:
        self._mark = f"{MARK}={mark}".encode()
        self.total_mib = 0.0
        self.guest_mib = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.wait(SAMPLE_S):
            sizes = [(_is_guest(p), _pss_mib(p)) for p in Path("/proc").glob("[0-9]*") if self._marked(p)]
            self.total_mib = max(self.total_mib, sum(size for _, size in sizes))
            self.guest_mib = max([self.guest_mib, *(size for guest, size in sizes if guest)])

    def _marked(self, process: Path) -> bool:
        try:
            return self._mark in (process / "environ").read_bytes()
        except OSError:
            return False


def _is_guest(process: Path) -> bool:
    try:
        return b"qemu-system" in (process / "cmdline").read_bytes()
    except OSError:
        return False


def _pss_mib(process: Path) -> float:
    try:
        lines = (process / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


def timed(command: Sequence[str], env: dict[str, str] | None = None) -> tuple[float, str]:
    """Wall seconds and standard output of a command that must succeed."""
    start = time.monotonic()
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT, env={**os.environ, **(env or {})}
    )
    return time.monotonic() - start, done.stdout


def help_figures() -> list[Figure]:
    """`schedcp --help`, median of seven."""
    seconds = statistics.median(timed([SCHEDCP, "--help"])[0] for _ in range(7))
    return [Figure("schedcp --help, median of 7", f"{seconds:.2f} s", "< 0.5 s", seconds < 0.5)]


def tune_figures() -> list[Figure]:
    """One whole `make tune` on a machine that is set up: time, memory, gain."""
    mark = str(os.getpid())
    with PeakMemory(mark) as memory:
        seconds, _ = timed(["make", "-s", "tune"], env={MARK: mark})
        total_s, out = timed([SCHEDCP, "runs", "--json"])
    run: dict[str, Any] = json.loads(out)["runs"][0]["summary"]
    best = run["best"] or {
        "policy": "none",
        "ratio": {"median": 0.0, "ci95": [0.0, 0.0]},
        "bound": None,
        "baseline": {},
    }
    shorter = 1 - 1 / best["ratio"]["median"] if best["ratio"]["median"] else 0.0
    low, high = best["ratio"]["ci95"]
    bound = f"{best['bound']:.2f}x" if best.get("bound") else "none"
    own = best.get("baseline", {})
    total_mib, guests = memory.total_mib, run["seconds"]["vm"]
    gain = (
        f"{best['policy']}: {shorter:.1%} shorter, {best['ratio']['median']:.3f}x [{low:.3f}, {high:.3f}], "
        f"bound {bound}, EEVDF {own.get('median', 0):.0f} {own.get('unit', '')}"
    )
    return [
        Figure("make tune, second time", f"{seconds:.0f} s, guests {guests:.0f} s", "< 240 s", seconds < 240),
        Figure("best policy on batch", gain, ">= 15 % shorter", shorter >= 0.15),
        Figure("candidates tried, rejected, failed",
               f"{run['candidates_tried']}, {run['rejected']}, {run['failed']}", "none", True, required=False),
        Figure("memory of one guest's QEMU, peak", f"{memory.guest_mib:.0f} MiB", "512 MiB of guest", True),
        Figure("memory of the whole run, peak PSS", f"{total_mib:.0f} MiB", "< 6144 MiB", total_mib < 6144),
        Figure("schedcp runs", f"{total_s:.1f} s", "none", True, required=False),
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main("bench", {"help": help_figures, "tune": tune_figures}))

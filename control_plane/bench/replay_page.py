# SPDX-License-Identifier: Apache-2.0
"""`make replay-fidelity`: three real commands recorded and replayed under EEVDF. Writes docs/replay.md.

On a machine that is otherwise idle, since the original's makespan is what it is compared with. What is written by hand
below the figures stays.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.kernel_source import source

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "replay.md"
SCHEDCP = str(Path(sys.executable).parent / "schedcp")
MARK = "<!-- figures end here -->"
# A share below this, in per cent, is not worth a row.
_SHOWN = 1.0


@dataclass(frozen=True, slots=True)
class Case:
    """One command to record: where it runs, and what must be done before that is not recorded."""

    title: str
    command: tuple[str, ...]
    folder: Path
    before: tuple[tuple[str, ...], ...] = ()


def cases() -> tuple[Case, ...]:
    """The three commands, each of a few seconds to half a minute."""
    tree = source(Path(os.environ.get("SCHEDCP_CACHE_DIR") or Path.home() / ".cache/schedcp"))
    tests = ("tests/integration/test_replay.py", "tests/unit/test_statistics.py", "tests/unit/test_topology.py")
    before = (("make", "-s", "clean"), ("make", "-s", "prepare"))
    return (
        Case("Part of a kernel build", ("make", "-s", "-j4", "mm/"), tree, before),
        Case("A test suite", (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests), ROOT),
        Case("A small server under load", (sys.executable, "-m", "benchmarks.examples.server_load"), ROOT),
    )  # fmt: skip


def measure(case: Case) -> dict[str, Any]:
    """Record the command on two CPUs, replay it on two, and return what `schedcp fidelity` found."""
    for command in case.before:
        subprocess.run(command, cwd=case.folder, check=True, stdout=subprocess.DEVNULL)
    two = ",".join(map(str, sorted(os.sched_getaffinity(0))[:2]))
    with tempfile.TemporaryDirectory() as folder:
        trace = str(Path(folder) / "case.parquet")
        record = ["taskset", "-c", two, SCHEDCP, "record", "-o", trace, "--", *case.command]
        subprocess.run(record, cwd=case.folder, check=True, stdout=sys.stderr)
        done = subprocess.run(
            [SCHEDCP, "fidelity", trace, "--json"], cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True
        )
        found, size = json.loads(done.stdout), Path(trace).stat().st_size
    if "verdict" not in found:  # a status that is not 0 goes with a verdict, too
        done.check_returncode()
    return {**found, "bytes": size}


def section(case: Case, fidelity: dict[str, Any]) -> list[str]:
    """One command's part of the page."""
    words = [Path(case.command[0]).name, *case.command[1:]]
    makespans = (f"{fidelity[f'{side}_ms']:.0f} ms" for side in ("original", "replay"))
    rows: list[tuple[str, ...]] = [("makespan", *makespans, f"{fidelity['makespan_error']:+.1%}", "5 %")]
    if fidelity["quiet_ms"]:
        quiet = (f"{fidelity['quiet_ms']:.0f} ms", f"{fidelity['replay_ms']:.0f} ms", f"{fidelity['quiet_error']:+.1%}")
        rows.append(("makespan, the original at least without others", *quiet, ""))
    for row in fidelity["commands"]:
        if max(row["original_share"], row["replay_share"]) >= _SHOWN:
            points = f"{row['replay_share'] - row['original_share']:+.2f} points"
            both = (f"{row[f'{side}_ms']:.0f} ms, {row[f'{side}_share']:.1f} %" for side in ("original", "replay"))
            rows.append((f"CPU time of `{row['name']}`", *both, points, "3 points"))
    for name, delays in fidelity["delays_us"].items():
        rows.append((f"run-queue delay, {name}", *(f"{delay:.0f} us" for delay in delays), "", ""))
    rows.append(("wake-ups that waited", *map(str, fidelity["wakeups"]), "", ""))
    return [
        f"## {case.title}", "", f"`{' '.join(words)}`, a trace of {fidelity['bytes'] / 1e3:.0f} kB.", "",
        "| | original | replay | difference | wanted |", "|---|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows), "",
        f"Bound: {fidelity['bound_ms']:.0f} ms. Others and the hypervisor had {fidelity['lost_share']:.0%} of the CPUs "
        f"meanwhile. Verdict: {fidelity['verdict'] if fidelity['close'] else '**' + fidelity['verdict'] + '**'}.", "",
    ]  # fmt: skip


def main() -> int:
    """Measure everything and write the page; 1 if one of the replays is not close enough."""
    measured = [(case, measure(case)) for case in cases()]
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    lines = [
        "# How near does a replay come to the original?", "",
        f"Written by `make replay-fidelity` on {day}, {os.cpu_count()} host CPUs, kernel {os.uname().release}, load "
        f"{os.getloadavg()[1]:.1f}. Each command was recorded on two CPUs by `schedcp record` and replayed once under "
        "EEVDF in a guest of two.", "",
        *(line for case, fidelity in measured for line in section(case, fidelity)),
    ]  # fmt: skip
    by_hand = PAGE.read_text(encoding="utf-8").partition(MARK)[2] if PAGE.is_file() else "\n"
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n".join(lines) + f"\n{MARK}{by_hand}", encoding="utf-8")
    return int(not all(fidelity["close"] for _, fidelity in measured))


if __name__ == "__main__":
    sys.exit(main())

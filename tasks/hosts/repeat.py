# SPDX-License-Identifier: Apache-2.0
"""Runs on a host, by Debian's python3 alone: a workload's program again and again, and what it measured, as a file.

    python3 -I repeat.py DIRECTORY PROGRAM [ARGUMENT…]

After each run the directory has a file NAME for each of the last run's numbers, which holds the number, and one
`metrics.prom` with all of them as Prometheus reads them (`schedcp_workload_NAME VALUE`), how many runs there were, how
many failed, and when the last one ended (seconds since the epoch). Each is replaced in one step.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import time
from pathlib import Path

PREFIX = "schedcp_workload_"
RUN_S = 600.0
AFTER_FAILURE_S = 1.0
MOST_BYTES = 1 << 20
NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


def numbers_of(output: bytes) -> dict[str, float]:
    """The numbers in the JSON object on the last line that a program printed; none where there is no such line."""
    try:
        last = json.loads(output[-MOST_BYTES:].rstrip().rpartition(b"\n")[2])
    except (ValueError, RecursionError):
        return {}
    found = last.items() if isinstance(last, dict) else ()
    return {
        name: float(value) for name, value in found
        if NAME.fullmatch(name) and type(value) in (int, float) and abs(value) < 1e300 and math.isfinite(value)
    }  # fmt: skip


def exposition(numbers: dict[str, float]) -> str:
    """The numbers as lines of Prometheus' text format."""
    return "".join(f"{PREFIX}{name} {value!r}\n" for name, value in sorted(numbers.items()))


def run_once(command: list[str]) -> dict[str, float] | None:
    """The numbers of one run; None where it failed."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, timeout=RUN_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(error, file=sys.stderr, flush=True)
        return None
    return numbers_of(done.stdout) if done.returncode == 0 else None


def put(path: Path, text: str) -> None:
    """Put the text into the file in one step."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    part.replace(path)


def main(place: Path, command: list[str]) -> None:
    """Run for ever."""
    counts = {"runs_total": 0.0, "failed_runs_total": 0.0}
    numbers: dict[str, float] = {}
    while True:
        last = run_once(command)
        counts["runs_total"] += 1
        if last is None:
            counts["failed_runs_total"] += 1
            time.sleep(AFTER_FAILURE_S)
        numbers = numbers if last is None else last
        for name, value in numbers.items():
            put(place / name, f"{value!r}\n")
        put(place / "metrics.prom", exposition({**numbers, **counts, "ended_seconds": time.time()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])

# SPDX-License-Identifier: Apache-2.0
"""`make fuzz`: hostile inputs for every parser of what comes from outside, each parser in a process of its own.

An input is told in one line of bounded length by an error of the kinds that the parser is documented to raise, within
1 s of CPU time (its child's included) and 512 MiB; anything else is a failure, and the exit status 1. The same seed
gives the same inputs: `--parser NAME --seed S --only N` runs one of them again.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from fuzz_inputs import monsters
from fuzz_parsers import PARSERS, Parser

MOST_S, MOST_MIB, HANG_S, MOST_FAILURES, LONGEST_TOLD = 1.0, 512, 60, 10, 9000
ROOM = (2 * MOST_MIB) << 20  # beside what the imports took: an input that asks for more is a MemoryError, and told


def inputs(parser: Parser, count: int, seed: int) -> Iterator[bytes]:
    """`count` inputs: each size of monster once, then what is valid, changed in one way or several."""
    rng, seeds = random.Random(f"{parser.name} {seed}"), parser.seeds()
    made = 0
    sizes = (10, 1000, 50_000, parser.most) if count >= 1000 else (1000,)
    for data in islice(chain(seeds[: count // 10], *map(monsters, sizes)), count):
        made += 1
        yield data
    for _ in range(count - made):
        data = rng.choice(seeds)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            data = rng.choice(parser.changes)(rng, data, seeds)
        yield data[: 4 * parser.most]


def fuzz(parser: Parser, count: int, seed: int, only: int | None = None) -> dict[str, Any]:
    """What became of the inputs: how many were taken, told or failed, the slowest, the peak of memory."""
    told, taken, slowest_s, slowest, failures = 0, 0, 0.0, 0, list[str]()
    logging.disable()
    with parser.opened() as parse:
        resource.setrlimit(resource.RLIMIT_DATA, (_status("VmData") * 1024 + ROOM,) * 2)
        signal.signal(signal.SIGALRM, _hangs)
        for number, data in enumerate(inputs(parser, count, seed)):
            if only not in (None, number):
                continue
            began, wrong = _cpu_s(parse), ""
            signal.alarm(HANG_S)
            try:
                parse(data)
                taken += 1
            except parser.errors as error:
                told += 1
                line = str(error)
                if len(line) > LONGEST_TOLD:
                    wrong = f"is told in {len(line)} characters"
            except BaseException as error:
                place = traceback.extract_tb(error.__traceback__)[-1]
                wrong = f"{type(error).__name__}: {error!s:.200} ({Path(place.filename).name}:{place.lineno})"
            signal.alarm(0)
            took_s = _cpu_s(parse) - began
            if took_s > slowest_s:
                slowest_s, slowest = took_s, number
            if not wrong and took_s > MOST_S:
                wrong = f"takes {took_s:.1f} s"
            if wrong and len(failures) < MOST_FAILURES:
                failures.append(f"input {number} ({data[:40]!r}, {len(data)} bytes): {wrong}")
        reader = getattr(parse, "reader", None)
        peak_mib = max(_status("VmHWM"), _status("VmHWM", reader.pid) if reader and reader.pid else 0) >> 10
    if peak_mib > MOST_MIB:
        failures.append(f"took {peak_mib} MiB")
    counts = {"inputs": number + 1, "taken": taken, "told": told}
    worst = {"slowest_s": round(slowest_s, 3), "slowest": slowest, "peak_mib": peak_mib}
    return {"parser": parser.name, "seed": seed, **counts, **worst, "failures": failures}


def _hangs(*_: object) -> None:
    raise TimeoutError(f"still at it after {HANG_S} s")


def _cpu_s(parse: Any) -> float:
    """CPU time of this process, and of the one that it reads by: on a busy host wall time says little."""
    reader, spent = getattr(parse, "reader", None), time.process_time()
    if reader and reader.pid:
        fields = Path(f"/proc/{reader.pid}/stat").read_text().rpartition(") ")[2].split()
        spent += (int(fields[11]) + int(fields[12])) / 100
    return spent


def _status(name: str, pid: int | str = "self") -> int:
    """A figure of proc_pid_status(5), in KiB."""
    return int(Path(f"/proc/{pid}/status").read_text().partition(f"{name}:")[2].split()[0])


def main() -> int:
    options = argparse.ArgumentParser(description="throw hostile inputs at every parser")
    options.add_argument("--count", type=int, default=10_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--parser", choices=[parser.name for parser in PARSERS])
    options.add_argument("--only", type=int, help="run this input alone, of --parser")
    given = options.parse_args()
    if given.parser:
        parser = next(parser for parser in PARSERS if parser.name == given.parser)
        result = fuzz(parser, given.count, given.seed, given.only)
        print(json.dumps(result), flush=True)
        return 1 if result["failures"] else 0
    failed = 0
    for parser in PARSERS:
        command = [sys.executable, __file__, "--count", str(given.count), "--seed", str(given.seed)]
        done = subprocess.run([*command, "--parser", parser.name], capture_output=True, text=True, check=False)
        print(done.stdout.strip() or f"{parser.name}: ended with {done.returncode}: {done.stderr[-2000:]}", flush=True)
        failed |= done.returncode
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())

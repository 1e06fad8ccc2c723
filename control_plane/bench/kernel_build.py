# SPDX-License-Identifier: Apache-2.0
"""`make kernel-traces`: records a real kernel build at several -j, for the workloads kernel-build and kernel-build-jN.

The source is Debian's linux-source package, configured by `make tinyconfig`. At -j 4 the whole build is recorded; at
the others three directories of it, which keeps all traces together under a megabyte. It takes some minutes, and wants a
machine that is otherwise idle.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import benchmarks
from benchmarks.kernel_source import run_in, source

TRACES = Path(benchmarks.__file__).parent / "traces"
SCHEDCP = str(Path(sys.executable).parent / "schedcp")
WHOLE, PARTS = 4, (2, 8, 16)
DIRECTORIES = ("kernel/", "mm/", "lib/")


def record(tree: Path, jobs: int, targets: Sequence[str], output: Path) -> str:
    """Record one build on two CPUs into `output`, and return what `schedcp record` printed as JSON."""
    run_in(["make", "-s", "clean"], tree)
    if targets:
        run_in(["make", "-s", "-j2", "prepare"], tree)
    cpus = ",".join(map(str, sorted(os.sched_getaffinity(0))[:2]))
    command = ["make", "-s", f"-j{jobs}", *targets]
    return run_in(["taskset", "-c", cpus, SCHEDCP, "record", "--json", "-o", str(output), "--", *command], tree)


def main() -> None:
    """Record at every -j, or at those given."""
    wanted = [int(word) for word in sys.argv[1:]] or [WHOLE, *PARTS]
    tree = source(Path(os.environ.get("SCHEDCP_CACHE_DIR") or Path.home() / ".cache/schedcp"))
    for jobs in wanted:
        sys.stdout.write(
            record(tree, jobs, () if jobs == WHOLE else DIRECTORIES, TRACES / f"kernel-build-j{jobs}.parquet")
        )


if __name__ == "__main__":
    main()

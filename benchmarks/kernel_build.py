# SPDX-License-Identifier: Apache-2.0
"""`make kernel-traces`: records a real kernel build at several -j, for the workloads kernel-build and kernel-build-jN.

The source is Debian's linux-source package, configured by `make tinyconfig`. At -j 4 the whole build is recorded; at
the others three directories of it, which keeps all traces together under a megabyte. It takes some minutes, and wants a
machine that is otherwise idle.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from policy_lake.model import InfraError

PACKAGE = "linux-source-6.1"
TRACES = Path(__file__).parent / "traces"
SCHEDCP = str(Path(sys.executable).parent / "schedcp")
WHOLE, PARTS = 4, (2, 8, 16)
DIRECTORIES = ("kernel/", "mm/", "lib/")
NEEDS = ("gcc", "make", "flex", "bison", "bc", "perl", "xz")


def source(cache_dir: Path) -> Path:
    """The unpacked and configured source, fetched once; InfraError says what to install where a tool is missing."""
    missing = [name for name in NEEDS if not shutil.which(name)]
    if missing:
        raise InfraError(f"a kernel build needs {missing[0]}: run `apt-get install {' '.join(NEEDS)} libelf-dev`")
    place = cache_dir / "kernel-source"
    tree = place / PACKAGE
    if not (tree / ".config").is_file():
        place.mkdir(parents=True, exist_ok=True)
        _run(["apt-get", "-q", "download", PACKAGE], place)
        _run(["dpkg", "-x", str(next(place.glob(f"{PACKAGE}_*.deb"))), "."], place)
        _run(["tar", "xf", f"usr/src/{PACKAGE}.tar.xz"], place)
        _run(["make", "-s", "tinyconfig"], tree)
        shutil.rmtree(place / "usr")
    return tree


def record(tree: Path, jobs: int, targets: Sequence[str], output: Path) -> str:
    """Record one build on two CPUs into `output`, and return what `schedcp record` printed as JSON."""
    _run(["make", "-s", "clean"], tree)
    if targets:
        _run(["make", "-s", "-j2", "prepare"], tree)
    cpus = ",".join(map(str, sorted(os.sched_getaffinity(0))[:2]))
    command = ["make", "-s", f"-j{jobs}", *targets]
    return _run(["taskset", "-c", cpus, SCHEDCP, "record", "--json", "-o", str(output), "--", *command], tree)


def _run(command: Sequence[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise InfraError(f"{' '.join(command[:3])} … ended with {done.returncode}")
    return done.stdout


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

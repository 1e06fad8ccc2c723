# SPDX-License-Identifier: Apache-2.0
"""Objects for tests of the object stage: compiled ones that are kept, and how they are made anew."""

from __future__ import annotations

import functools
import lzma
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
OBJECTS = ROOT / "tests/golden/objects"
GOOD = ("ljf", "vtime", "percpu", "plain_subprograms", "plain_pid_queue")
FILLED = ("mirror_own_queue", "kconfig_version", "given_per_cpu", "given_queue")  # right once a loader has filled them
TABLES = ("f03_flag_cleared_fails", "f27_never_deleted_fails", "f03_eight_cgroups_fails", "plain_taken_out")
TIMES = ("f18_narrow_vtime_fails", "f03_narrow_moment_fails", "plain_narrow_difference")
PLUGGED = ("f30_stays_dark_fails", "plain_looks_again")
CLOCKS = ("f18_clock_goes_back_fails",)
LEFT_OUT = ("f03_one_pid_fails",)
BAD = ("f01_lost_subprogram_fails", "f06_mixed_fails")
SOURCES = ("bpf/library", "tests/policies", "tests/policies/good", "tests/golden/objects")


@functools.cache
def object_bytes(name: str) -> bytes:
    """A kept object by its policy's name."""
    return lzma.decompress((OBJECTS / f"{name}.o.xz").read_bytes())


def rejected(stage) -> list[str]:
    """The bugs that a stage rejects for, in its order."""
    return [finding.bug for finding in stage.findings if finding.level == "reject"]


def source_of(name: str) -> Path:
    """Where a policy's source lies."""
    return next(path for folder in SOURCES if (path := ROOT / folder / f"{name}.bpf.c").exists())


def make() -> None:
    """Compile every kept object anew."""
    sys.path.insert(0, str(ROOT))
    from bpf.build import compile_policy
    from tasks.host.guest import prepare_guest
    from tasks.host.settings import load_settings

    headers = prepare_guest(load_settings()).kernel.headers
    sources = ("paths", "ways", "counts", "orders", "loops", "endings")
    for name in (*GOOD, *FILLED, *BAD, *TABLES, *TIMES, *PLUGGED, *CLOCKS, *LEFT_OUT, *sources):
        path = source_of(name)
        made = compile_policy(path.read_text(), name=path.name, vmlinux_dir=headers, source_dir=path.parent)
        (OBJECTS / f"{name}.o.xz").write_bytes(lzma.compress(made.data, preset=9 | lzma.PRESET_EXTREME))


if __name__ == "__main__":
    make()

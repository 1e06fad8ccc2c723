# SPDX-License-Identifier: Apache-2.0
"""The guest's workload programs, and whether one takes a workload's numbers: asked of itself, before a guest runs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks.descriptor import ACCELS
from benchmarks.programs import program_headers, program_sources
from benchmarks.workloads import Workload, arguments
from policy_lake.errors import InfraError, InputError
from verifier_vm.machine.image import Program, host_program

CHECK_OPTIONS = "SCHEDCP_CHECK_OPTIONS"  # as in benchmarks/guest/work.h
WRONG_OPTIONS = 2
LIMIT_S = 10.0
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "--")


def workload_programs() -> dict[str, Program]:
    """Every program that a workload may name."""
    headers = program_headers()
    return {
        name: Program(sources, libraries=("pthread", "m", "z"), headers=headers)
        for name, sources in program_sources().items()
    }


def check_numbers(described: Workload, cache_dir: Path) -> None:
    """InputError, in the program's words, for arguments that it refuses.

    What limits a number has, the program alone says. One that cannot be made or run here is left to the guest.
    """
    program = workload_programs().get(described.program)
    if described.binary or program is None:
        return
    with suppress(InfraError, OSError):
        binary = host_program(described.program, program, cache_dir)
        for args in {arguments(described, seed=0, accel=accel) for accel in ACCELS}:
            complaint = _complaint(binary, (described.program, *args))
            if complaint:
                raise InputError(f"workload '{described.id}': {complaint}")


def _complaint(binary: Path, words: Sequence[str]) -> str:
    """What the program says of wrong options; empty when they are good, or when it says nothing of them."""
    fd = os.open(binary, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # By its descriptor, since nobody else may look into this user's cache; static, it needs nothing around it.
        command = [f"/proc/self/fd/{fd}", *words[1:]]
        done = subprocess.run(
            [*NOBODY, *command] if os.geteuid() == 0 else command, pass_fds=(fd,), env={CHECK_OPTIONS: "1"}, cwd="/",
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=LIMIT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return ""
    finally:
        os.close(fd)
    said = done.stderr.strip().splitlines()
    return said[-1].replace(f"/proc/self/fd/{fd}", words[0])[:300] if done.returncode == WRONG_OPTIONS and said else ""

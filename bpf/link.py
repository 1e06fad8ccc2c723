# SPDX-License-Identifier: Apache-2.0
"""Objects that belong together made into one, as upstream's Makefiles do it: `bpftool gen object`, confined."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from bpf.launch import Limits, launch
from bpf.toolchain import LIBRARIES
from policy_lake.errors import SETUP, BuildError, InfraError
from policy_lake.files import scratch

LIMITS = Limits(cpu_s=20)
MOST_BYTES = 16 << 20  # of each object, as the object stage reads them
SEARCHED = os.pathsep.join((os.defpath, "/usr/sbin", "/sbin", "/usr/local/sbin"))  # Debian has it in sbin


def link_objects(objects: Sequence[tuple[str, bytes]], *, timeout_s: float = 60) -> bytes:
    """One object of several, each with its name for people; the same objects in the same order give the same bytes.

    BuildError with libbpf's words where they do not fit together, InfraError where bpftool is missing or was killed.
    """
    bpftool = shutil.which("bpftool", path=f"{os.environ.get('PATH', '')}{os.pathsep}{SEARCHED}")
    if bpftool is None:
        raise InfraError(f"bpftool is not installed: run `{SETUP}`")
    names = ", ".join(name for name, _ in objects)
    for name, data in objects:
        if len(data) > MOST_BYTES:
            raise BuildError(f"'{name}' is larger than the {MOST_BYTES >> 20} MiB that are linked")
    with scratch("link") as work:
        parts = [Path(work, f"{index}.o") for index in range(len(objects))]  # not by names of strangers
        for path, (_, data) in zip(parts, objects, strict=True):
            path.write_bytes(data)
        linked = Path(work, "linked.o")
        linked.touch()
        try:
            done = launch(
                [[bpftool, "gen", "object", str(linked), *map(str, parts)]], b"",
                reads=[*LIBRARIES, bpftool, *map(str, parts)], limits=LIMITS, timeout_s=timeout_s, write=str(linked),
            )  # fmt: skip
        except TimeoutError as error:
            raise InfraError(f"bpftool did not link {names} within {timeout_s:g} s") from error
        words = (done.stderr + done.stdout).decode(errors="replace")
        if done.returncode > 0:
            why = _first(words.replace(f"{work}/", ""), objects)
            raise BuildError(f"{names} cannot be linked: {why}", words)
        if done.returncode:
            raise InfraError(f"bpftool was ended by signal {-done.returncode} while it linked {names}")
        return linked.read_bytes()


def _first(words: str, objects: Sequence[tuple[str, bytes]]) -> str:
    """The first line that says something, with the objects called as people call them."""
    line = next((line for line in words.splitlines() if line.strip()), "bpftool does not say why")
    for index in reversed(range(len(objects))):
        line = line.replace(f"{index}.o", objects[index][0])
    return line.removeprefix("libbpf: ").strip()[:500]

# SPDX-License-Identifier: Apache-2.0
"""The guest's initramfs: our static C programs and the probe objects, nothing else.

An image is named after the hash of everything it is made from, so a changed source makes another image and an
unchanged one costs a look-up.
"""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from policy_lake.errors import InfraError
from policy_lake.files import atomic_write
from verifier_vm.machine.cpio import TRAILER, entry

GUEST_DIR = Path(__file__).parents[1] / "guest"
CFLAGS = ("-O2", "-static", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror")
DIRECTORIES = ("bin", "dev", "job", "lib", "proc", "sys", "tmp")


@dataclass(frozen=True, slots=True)
class Program:
    """A C program of the guest: sources compiled into one static binary, with libraries as `-l` names."""

    sources: tuple[Path, ...]
    libraries: tuple[str, ...] = ()
    headers: tuple[Path, ...] = ()


def _guest(*parts: str, headers: tuple[str, ...], libraries: tuple[str, ...] = ()) -> Program:
    sources = tuple(GUEST_DIR / f"{part}.c" for part in parts)
    return Program(sources, libraries, tuple(GUEST_DIR / f"{name}.h" for name in headers))


OWN_PROGRAMS: Mapping[str, Program] = {
    "init": _guest("init", "attach", "run", "child", "port", "kernel", "text", headers=("guest", "run")),
    "loader": _guest("loader", "knobs", "record", libraries=("bpf", "elf", "z"), headers=("loader",)),
    "adversary": _guest(
        "adversary",
        "crew",
        "report",
        "burn",
        "hogs",
        "wakes",
        "churn",
        "cgroups",
        "changes",
        "crowds",
        "pinned",
        libraries=("pthread",),
        headers=("adversary",),
    ),
}


def build_image(programs: Mapping[str, Program], files: Mapping[str, bytes], cache_dir: Path) -> Path:
    """The initramfs with our own programs, `programs` at /bin/NAME and `files` at their paths; built unless cached.

    Raises InfraError when the compiler is missing or refuses a source, in the compiler's words.
    """
    everything = {**OWN_PROGRAMS, **programs}
    path = cache_dir / "images" / f"{_digest(everything, files)}.cpio"
    if path.is_file():
        return path
    with tempfile.TemporaryDirectory(prefix="schedcp-image-") as build:
        binaries = {name: _compile(name, program, Path(build)) for name, program in everything.items()}
    atomic_write(path, _archive(binaries, files))
    return path


def _digest(programs: Mapping[str, Program], files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256(" ".join(CFLAGS).encode())
    for name, program in sorted(programs.items()):
        digest.update(f"{name} {program.libraries}".encode())
        for source in (*program.sources, *program.headers):
            digest.update(hashlib.sha256(source.read_bytes()).digest())
    for name, data in sorted(files.items()):
        digest.update(name.encode() + hashlib.sha256(data).digest())
    return digest.hexdigest()[:32]


def _compile(name: str, program: Program, into: Path) -> bytes:
    out = into / name
    libraries: Sequence[str] = [f"-l{library}" for library in program.libraries]
    command = ["gcc", *CFLAGS, "-o", str(out), *map(str, program.sources), *libraries, "-s"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InfraError(f"cannot compile the guest's '{name}': {error}") from error
    if done.returncode:
        first = next(
            (line for line in done.stderr.splitlines() if "error" in line), f"gcc ended with {done.returncode}"
        )
        raise InfraError(f"cannot compile the guest's '{name}': {first}")
    return out.read_bytes()


def _archive(binaries: Mapping[str, bytes], files: Mapping[str, bytes]) -> bytes:
    out = bytearray()
    for name in DIRECTORIES:
        out += entry(name, 0o040755, b"")
    for name, data in sorted(binaries.items()):
        out += entry(f"bin/{name}", 0o100755, data)
    for name, data in sorted(files.items()):
        out += entry(name.lstrip("/"), 0o100644, data)
    out += entry("init", 0o120777, b"bin/init")
    return bytes(out + entry(TRAILER, 0, b""))

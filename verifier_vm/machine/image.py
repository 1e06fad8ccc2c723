# SPDX-License-Identifier: Apache-2.0
"""The guest's initramfs: our static C programs and the probe objects, nothing else.

An image is named after the hash of everything it is made from, so a changed source makes another image and an
unchanged one costs a look-up.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from policy_lake.errors import InfraError
from policy_lake.files import atomic_write, beyond, scratch
from policy_lake.secrets import child_environment
from verifier_vm.machine.cpio import TRAILER, entry

GUEST_DIR = Path(__file__).parents[1] / "guest"
CFLAGS = ("-O2", "-static", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror")
KEPT_BYTES = 512 << 20  # of images that were used last: one has 10 MiB, one with a kernel's sources in it hundreds
LIBBPF = ("bpf", "elf", "zstd", "z")  # what a program that uses libbpf is linked with, beside this part of GUEST_DIR:
LIBELF_REST = "libelf_search"
DIRECTORIES = ("bin", "boot", "dev", "job", "lib", "proc", "sys", "tmp")


@dataclass(frozen=True, slots=True)
class Program:
    """A C program of the guest: sources compiled into one static binary, with libraries as `-l` names.

    `wrapped` are functions that it has in place of the C library's, also for its libraries (the linker's `--wrap`).
    """

    sources: tuple[Path, ...]
    libraries: tuple[str, ...] = ()
    headers: tuple[Path, ...] = ()
    wrapped: tuple[str, ...] = ()


def _guest(
    *parts: str, headers: tuple[str, ...], libraries: tuple[str, ...] = (), wrapped: tuple[str, ...] = ()
) -> Program:
    sources = tuple(GUEST_DIR / f"{part}.c" for part in parts)
    return Program(sources, libraries, tuple(GUEST_DIR / f"{name}.h" for name in headers), wrapped)


OWN_PROGRAMS: Mapping[str, Program] = {
    "init": _guest(
        "init", "attach", "run", "child", "port", "kernel", "dump", "text", "quiet", headers=("guest", "run")
    ),
    "loader": _guest(
        "loader",
        "ops",
        "knobs",
        "fill",
        "layout",
        "record",
        LIBELF_REST,
        libraries=LIBBPF,
        headers=("loader",),
        wrapped=("free",),
    ),
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
        "stops",
        "crowds",
        "pinned",
        "chosen",
        "sides",
        "quiet",
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
        with contextlib.suppress(OSError):  # one who may not write there does not prune there either
            os.utime(path)
        return path
    with scratch("image") as build:
        binaries = {name: _compile(name, program, Path(build)) for name, program in everything.items()}
    atomic_write(path, _archive(binaries, files))
    for old in beyond(path.parent.glob("*.cpio"), room=KEPT_BYTES):
        old.unlink(missing_ok=True)
    return path


def host_program(name: str, program: Program, cache_dir: Path) -> Path:
    """One of the guest's programs as a static binary of this host's, kept; InfraError as from `build_image`."""
    path = cache_dir / "programs" / f"{name}-{_digest({name: program}, {})}"
    if not path.is_file():
        with scratch("program") as build:
            atomic_write(path, _compile(name, program, Path(build)), mode=0o755)
        for old in beyond(path.parent.iterdir(), room=KEPT_BYTES):
            old.unlink(missing_ok=True)
    return path


def _digest(programs: Mapping[str, Program], files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256(" ".join(CFLAGS).encode())
    for name, program in sorted(programs.items()):
        digest.update(f"{name} {program.libraries} {program.wrapped}".encode())
        for source in (*program.sources, *program.headers):
            digest.update(hashlib.sha256(source.read_bytes()).digest())
    for name, data in sorted(files.items()):
        digest.update(name.encode() + hashlib.sha256(data).digest())
    return digest.hexdigest()[:32]


def _compile(name: str, program: Program, into: Path) -> bytes:
    out = into / name
    libraries = [f"-l{library}" for library in program.libraries]
    libraries += [f"-Wl,--wrap={function}" for function in program.wrapped]
    command = ["gcc", *CFLAGS, "-o", str(out), *map(str, program.sources), *libraries, "-s"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=False, env=child_environment()
        )
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

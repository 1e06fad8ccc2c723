# SPDX-License-Identifier: Apache-2.0
"""The compiler call: BPF C in, a loadable object out, both through pipes: a sudden end leaves no file behind."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from policy_lake.model import BuildError, InfraError, InputError

BPF_DIR = Path(__file__).parent
MIN_CLANG = 19
NEWEST_CLANG = 40  # how far up versioned names are looked for; plain `clang` comes last
MEMORY_LIMIT = 3 << 30
CPU_LIMIT_S = 20  # forty times what our largest policy takes
# -mcpu=v3: atomics that return a value. -g: BTF comes out of debug information. The kernel wants the loops as written.
CFLAGS = ("--target=bpf", "-mcpu=v3", "-std=gnu17", "-O2", "-g", "-Wall", "-fno-color-diagnostics")
# vmlinux.h declares anonymous members that clang has an opinion on; a crash of clang must not leave its report in /tmp.
QUIET = ("-Wno-missing-declarations", "-Wno-unknown-warning-option", "-Wno-compare-distinct-pointer-types",
         "-fno-crash-diagnostics")  # fmt: skip
ARCHES = {"x86_64": "x86", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class PolicyObject:
    """A compiled BPF object: ELF with BTF and without DWARF; `seconds` is what compiling took."""

    data: bytes
    sha256: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Toolchain:
    """The compiler and the strip of one LLVM."""

    clang: str
    strip: str


def compile_policy(
    source: str,
    *,
    name: str,
    vmlinux_dir: Path,
    include_dirs: Sequence[Path] = (),
    source_dir: Path | None = None,
    timeout_s: float = 60,
) -> PolicyObject:
    """Compile `source`, which diagnostics call `name`, against the vmlinux.h in `vmlinux_dir`.

    Quoted includes are looked for in `source_dir` first, then in `include_dirs` (which win over our own headers), our
    headers, and the system's. The same source and headers give the same bytes, wherever they lie. `timeout_s` is wall
    time. Raises BuildError with clang's words in `diagnostics`; InfraError when clang is missing, too old, too slow or
    killed; InputError when there is no vmlinux.h.
    """
    if not (vmlinux_dir / "vmlinux.h").is_file():
        raise InputError(f"no vmlinux.h in '{vmlinux_dir}'")
    tools = find_toolchain()
    started = time.monotonic()
    quoted = [f"-iquote{source_dir}"] if source_dir else []
    searched = [f"-I{path}" for path in (*include_dirs, BPF_DIR / "include", BPF_DIR, vmlinux_dir)]
    command = [tools.clang, *CFLAGS, *QUIET, f"-D__TARGET_ARCH_{ARCHES.get(platform.machine(), 'x86')}",
               *_without_host_paths(source_dir, include_dirs, vmlinux_dir), *quoted, *searched,
               "-x", "c", "-c", "-o", "-", "-"]  # fmt: skip
    # The first line gives the source its name: in diagnostics, and in the line information that the kernel prints.
    done = _run(command, f"#line 1 {_c_string(name)}\n{source}".encode(), timeout_s, name)
    if done.returncode:
        raise _refusal(name, done)
    stripped = _run([tools.strip, "--strip-debug", "-", "-o", "-"], done.stdout, timeout_s, name)
    if stripped.returncode:
        raise InfraError(f"{tools.strip} failed on '{name}': {stripped.stderr.decode(errors='replace').strip()[:500]}")
    digest = hashlib.sha256(stripped.stdout).hexdigest()
    return PolicyObject(stripped.stdout, digest, time.monotonic() - started)


@functools.cache
def find_toolchain() -> Toolchain:
    """The oldest clang from 19 on, which is what policies are tried with, and its llvm-strip; InfraError if none."""
    for suffix in (*(f"-{version}" for version in range(MIN_CLANG, NEWEST_CLANG)), ""):
        clang, strip = shutil.which(f"clang{suffix}"), shutil.which(f"llvm-strip{suffix}")
        if clang and strip and (suffix or _version(clang) >= MIN_CLANG):
            return Toolchain(clang, strip)
    raise InfraError(f"clang {MIN_CLANG} or newer with llvm-strip is not installed: run `make setup`")


def _version(clang: str) -> int:
    out = subprocess.run([clang, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
    found = re.search(r"version (\d+)", out)
    return int(found[1]) if found else 0


def _without_host_paths(source_dir: Path | None, include_dirs: Sequence[Path], vmlinux_dir: Path) -> list[str]:
    """Options that keep this machine's paths out of the object, whose hash a token names."""
    renamed = [(path, f"include{index}") for index, path in enumerate(include_dirs)]
    renamed += [(source_dir, "source")] if source_dir else []
    renamed += [(vmlinux_dir, "vmlinux"), (BPF_DIR, "bpf")]
    return ["-ffile-compilation-dir=.", *(f"-fdebug-prefix-map={path}={name}" for path, name in renamed)]


def _c_string(name: str) -> str:
    return '"' + re.sub(r'[\\"\x00-\x1f]', "_", name) + '"'


def _run(command: Sequence[str], data: bytes, timeout_s: float, name: str) -> subprocess.CompletedProcess[bytes]:
    """Run a compiler on `data`, confined: a source may ask for endless work, but gets no file or memory for it."""
    cpu_s = f"{CPU_LIMIT_S}:{CPU_LIMIT_S + 5}"
    limits = ["prlimit", "--fsize=0", "--core=0", f"--as={MEMORY_LIMIT}", f"--cpu={cpu_s}", "--"]
    try:
        # Symbolising its own crash, clang would leave files in /tmp.
        environment = {**os.environ, "LLVM_DISABLE_SYMBOLIZATION": "1"}
        return subprocess.run(
            [*limits, *command], input=data, capture_output=True, timeout=timeout_s, check=False, env=environment
        )
    except subprocess.TimeoutExpired as error:  # wall time says more of the machine than of the source
        raise InfraError(f"{Path(command[0]).name} did not end within {timeout_s:g} s on '{name}'") from error
    except OSError as error:
        raise InfraError(f"cannot run {command[0]}: {error}") from error


def _refusal(name: str, done: subprocess.CompletedProcess[bytes]) -> Exception:
    diagnostics = done.stderr.decode(errors="replace")
    errors = [line for line in diagnostics.splitlines() if re.search(r"(^|: )(fatal )?error: ", line)]
    if errors:
        return BuildError(f"'{name}' does not compile: {errors[0]}", diagnostics)
    # At its limit clang still tries to write down how it ended, which the file limit ends with SIGXFSZ.
    if -done.returncode in (signal.SIGXCPU, signal.SIGXFSZ, signal.SIGABRT, signal.SIGSEGV):
        why = f"it crashes clang, or keeps it busy for more than {CPU_LIMIT_S} s"
        return BuildError(f"'{name}' does not compile: {why}", diagnostics)
    # Killed from outside, for one: the source may be innocent.
    told = (diagnostics.strip().splitlines() or ["without a word"])[-1]
    return InfraError(f"clang ended with status {done.returncode} on '{name}': {told}")

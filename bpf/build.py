# SPDX-License-Identifier: Apache-2.0
"""The compiler call: BPF C in, a loadable object out, both through pipes: a sudden end leaves no file behind."""

from __future__ import annotations

import hashlib
import os
import re
import resource
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bpf.btf_order import with_ordered_btf
from bpf.externs import without_type
from bpf.headers import Headers
from bpf.launch import OUTPUT_LIMIT, Limits, OutputError, can_confine, launch, launcher
from bpf.precompiled import forget, is_whole
from bpf.special import kind_of
from bpf.toolchain import Toolchain, find_toolchain
from policy_lake.errors import BuildError, InfraError, InputError

MEMORY_LIMIT = 2 << 30
CPU_LIMIT_S = 8  # twenty times what our largest policy takes
PRECOMPILED = "-include-pch"
_QUOTED = re.compile(rb"'([^'\n]*)'")  # how clang names a file that it could not open
REFUSED = 1  # clang's status for a source that it does not take
# What a source makes of clang; at its limit that still tries to write down how it ended, which ends it with SIGXFSZ.
BY_ITSELF = {signal.SIGXCPU, signal.SIGXFSZ, signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL}
BUG_REPORT, OUT_OF_MEMORY = b"PLEASE submit a bug report", b"LLVM ERROR: out of memory"
MISSING = re.compile(r"error: '([^']+)' file not found")
SOURCE_LIMIT = 4 << 20  # bytes; our largest policy has 10,000


@dataclass(frozen=True, slots=True)
class PolicyObject:
    """A compiled BPF object: ELF with BTF and without DWARF; `seconds` is what compiling took.

    `confined` is false where the kernel has no Landlock (before 5.13): the compiler could then read what its user can.
    """

    data: bytes
    sha256: str
    seconds: float
    confined: bool = True


def compile_policy(
    source: str,
    *,
    name: str,
    vmlinux_dir: Path,
    include_dirs: Sequence[Path] = (),
    source_dir: Path | None = None,
    cache_dir: Path | None = None,
    timeout_s: float = 60,
) -> PolicyObject:
    """Compile `source`, which diagnostics call `name`, against the vmlinux.h in `vmlinux_dir`.

    Quoted includes are looked for in `source_dir` first, then in `include_dirs` (which win over our own headers), our
    headers, and the system's; nothing else can be read. The same source, headers and clang give the same bytes,
    wherever they lie. Whether vmlinux.h is precompiled (kept in `cache_dir`, else beside it) may change which types the
    BTF has; it depends on the source and on which directories are given, never on what the cache holds. `timeout_s` is
    wall time. Raises BuildError with clang's words in `diagnostics`; InfraError when clang is missing, too old, too
    slow or killed, or a crash is not the same twice; InputError when there is no vmlinux.h, or a FIFO for a header.
    """
    tools = find_toolchain()
    headers = _headers(vmlinux_dir, include_dirs, source_dir, cache_dir)
    started = time.monotonic()
    _refuse_unreadable(source, name)
    flags = headers.flags(source, tools)
    done = _compile(source, name, flags, headers.reads(tools), tools, timeout_s)
    if done.returncode and _spoilt(flags):  # or clang speaks of, or fell over, a file that is not the policy's
        flags = headers.flags(source, tools)
        done = _compile(source, name, flags, headers.reads(tools), tools, timeout_s)
    if _crashed(done):  # what befalls a busy host does not befall it twice in the same way; what a source does, does
        first, done = done, _compile(source, name, flags, headers.reads(tools), tools, timeout_s)
        if _crashed(done) and not _alike(first, done):
            raise InfraError(f"clang ended with status {first.returncode}, then with {done.returncode} on '{name}'")
    if PRECOMPILED in flags and not done.returncode and without_type(done.stdout):
        flags = flags[: flags.index(PRECOMPILED)]
        done = _compile(source, name, flags, headers.reads(tools), tools, timeout_s)
    if done.returncode:
        _refuse_special(headers, done)
        raise _refusal(name, done, tools)
    data = with_ordered_btf(done.stdout)
    digest = hashlib.sha256(data).hexdigest()
    return PolicyObject(data, digest, time.monotonic() - started, can_confine())


def front_end_flags(
    source: str,
    *,
    vmlinux_dir: Path,
    include_dirs: Sequence[Path] = (),
    source_dir: Path | None = None,
    cache_dir: Path | None = None,
) -> list[str]:
    """What compile_policy tells clang's front end for this source, for another front end of the same clang."""
    headers = _headers(vmlinux_dir, include_dirs, source_dir, cache_dir)
    return headers.flags(source, find_toolchain(), for_object=False)


def front_end_launcher(
    *,
    vmlinux_dir: Path,
    include_dirs: Sequence[Path] = (),
    source_dir: Path | None = None,
    cache_dir: Path | None = None,
) -> list[str]:
    """The words that start a command confined as the compiler is: `--read PATH`s may follow, then `--` and the command.

    The same for every source with these directories.
    """
    headers = _headers(vmlinux_dir, include_dirs, source_dir, cache_dir)
    return launcher(headers.reads(find_toolchain()), Limits(CPU_LIMIT_S, MEMORY_LIMIT))


def _headers(
    vmlinux_dir: Path, include_dirs: Sequence[Path], source_dir: Path | None, cache_dir: Path | None
) -> Headers:
    """The directories by their whole names: the compiler runs in /, where a relative one would mean another."""
    beside = source_dir.absolute() if source_dir else None
    return Headers(vmlinux_dir.absolute(), tuple(path.absolute() for path in include_dirs), beside, cache_dir)


def _compile(
    source: str, name: str, flags: Sequence[str], reads: Sequence[str], tools: Toolchain, timeout_s: float
) -> subprocess.CompletedProcess[bytes]:
    """Compile and strip in one go: the source may ask for endless work, but gets no file or memory for it."""
    clang = [tools.clang, *flags, "-x", "c", "-c", "-o", "-", "-"]
    strip = [tools.strip, "--strip-debug", "-", "-o", "-"]
    # The first line gives the source its name: in diagnostics, and in the line information that the kernel prints.
    data = f"#line 1 {_c_string(name)}\n{source}".encode(errors="replace")
    try:
        limits = Limits(CPU_LIMIT_S, MEMORY_LIMIT)
        return launch([clang, strip], data, reads=reads, limits=limits, timeout_s=timeout_s)
    except TimeoutError as error:  # wall time says more of the machine than of the source
        raise InfraError(f"{Path(tools.clang).name} did not end within {timeout_s:g} s on '{name}'") from error
    except OutputError as error:
        raise BuildError(f"'{name}' does not compile: its object is larger than {OUTPUT_LIMIT >> 20} MiB") from error


def _refuse_unreadable(source: str, name: str) -> None:
    if len(source) > SOURCE_LIMIT:
        raise BuildError(f"'{name}' does not compile: it is larger than {SOURCE_LIMIT >> 20} MiB")
    if "\0" in source:
        line = source[: source.index("\0")].count("\n") + 1
        diagnostic = f"{name}:{line}: error: a NUL byte"
        raise BuildError(f"'{name}' does not compile: {diagnostic}", diagnostic)
    if can_confine():
        return
    # Without Landlock the overlay still hides every file from the preprocessor, but not from the assembler.
    if re.search(r"incbin|\basm\b|__asm", source):
        raise BuildError(f"'{name}' does not compile: no assembler without Landlock, which would confine it")


def _refuse_special(headers: Headers, done: subprocess.CompletedProcess[bytes]) -> None:
    """InputError for a FIFO, socket or device that the compiler was to take for a header: no fault of the policy's."""
    wanted = [Path(os.fsdecode(name)).parts for name in _QUOTED.findall(done.stderr)]
    for path in headers.special():
        if any(parts and path.parts[-len(parts) :] == parts for parts in wanted):
            raise InputError(f"{path}: {kind_of(path)}, where a header should be")


def _crashed(done: subprocess.CompletedProcess[bytes]) -> bool:
    """Whether clang ended otherwise than by saying what it thinks of the source (its driver: 128 and up)."""
    return done.returncode not in (0, REFUSED) or done.stderr.startswith((BUG_REPORT, OUT_OF_MEMORY))


def _alike(first: subprocess.CompletedProcess[bytes], then: subprocess.CompletedProcess[bytes]) -> bool:
    """Whether clang ended twice for one reason: equally, or at the time that a source may take, which ends it in more
    ways than one."""
    ends = {_signal_of(first.returncode), _signal_of(then.returncode)}
    return first.returncode == then.returncode or ends <= {signal.SIGXCPU, signal.SIGXFSZ, signal.SIGABRT}


def _signal_of(status: int) -> int:
    """The signal that ended clang, or its driver's child."""
    return -status if status < 0 else status - 128


def _spoilt(flags: Sequence[str]) -> bool:
    """Whether a precompiled header is not what was written; it is then removed."""
    if "-include-pch" not in flags:
        return False
    home = Path(flags[list(flags).index("-include-pch") + 1]).parent
    if is_whole(home, content=True):
        return False
    forget(home)
    return True


def _c_string(name: str) -> str:
    return '"' + re.sub(r'[\\"\x00-\x1f]', "_", name) + '"'


def _refusal(name: str, done: subprocess.CompletedProcess[bytes], tools: Toolchain) -> Exception:
    lines = done.stderr.decode(errors="replace").splitlines(keepends=True)
    # Where clang gave it nothing, strip says so, which is no news.
    diagnostics = "".join(line for line in lines if not line.startswith(f"{tools.strip}: "))
    if diagnostics != "".join(lines) and not diagnostics and done.returncode > 0:
        if "Cannot allocate memory" in lines[-1]:
            return BuildError(f"'{name}' does not compile: its object is larger than any memory allowed for it")
        return InfraError(f"{tools.strip} failed on '{name}': {lines[-1].strip()[:500]}")
    if _crashed(done):
        return _end_of_clang(name, done.returncode, diagnostics)
    errors = [line for line in diagnostics.splitlines() if re.search(r"(^|: )(fatal )?error: ", line)]
    if errors:
        missing = MISSING.search(errors[0])
        mend = f"; give the directory that it is found from with -I ({missing[1]} is in none)" if missing else ""
        header = missing[1] if missing else ""
        return BuildError(f"'{name}' does not compile: {errors[0].strip()}{mend}", diagnostics, header)
    return InfraError(f"clang ended with status {done.returncode} on '{name}': {_last(diagnostics)}")


def _end_of_clang(name: str, status: int, diagnostics: str) -> Exception:
    """What it means that clang ended so twice; a limit of this shell's that is below ours is no fault of the source."""
    number = _signal_of(status)
    for what, option, least in ((resource.RLIMIT_AS, "v", MEMORY_LIMIT), (resource.RLIMIT_CPU, "t", CPU_LIMIT_S)):
        most = resource.getrlimit(what)[1]
        if most != resource.RLIM_INFINITY and most < least:
            return InfraError(f"clang ended early on '{name}': `ulimit -{option}` leaves it less than it is to have")
    if number in BY_ITSELF or diagnostics.startswith((BUG_REPORT.decode(), OUT_OF_MEMORY.decode())):
        why = f"each time it crashes clang, or keeps it busy for more than {CPU_LIMIT_S} s"
        return BuildError(f"'{name}' does not compile: {why}", diagnostics)
    # Killed from outside, for one: the source may be innocent.
    return InfraError(f"clang ended with status {status} on '{name}': {_last(diagnostics)}")


def _last(diagnostics: str) -> str:
    return (diagnostics.strip().splitlines() or ["without a word"])[-1]

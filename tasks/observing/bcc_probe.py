# SPDX-License-Identifier: Apache-2.0
"""The same probe by BCC, for kernels without BTF. It needs no kernel headers, since the probe reads only tracepoints.

BCC itself includes a few kernel headers, of which it uses the integer types and the version alone: those are given to
it in a folder of ours. It is Debian's package (python3-bpfcc), which no venv has, so its folder is looked up by name.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any, Literal

from policy_lake.errors import InfraError
from policy_lake.files import scratch
from tasks.observing.core_probe import SOURCE, TIMER

PACKAGES = Path("/usr/lib/python3/dist-packages")
_TYPES = """\
typedef signed char __s8, s8; typedef unsigned char __u8, u8; typedef short __s16, s16; typedef int __s32, s32, pid_t;
typedef unsigned short __u16, u16, __be16, __le16, __sum16; typedef unsigned int __u32, u32, __be32, __le32, __wsum;
typedef long long __s64, s64; typedef unsigned long long __u64, u64, __be64, __le64, __aligned_u64;
typedef _Bool bool; typedef unsigned long size_t, uintptr_t;
#define true 1
#define false 0
#ifndef NULL
#define NULL ((void *)0)
#endif
"""
_CONFIG = "#define CONFIG_BPF_SYSCALL 1\n#define CONFIG_BPF_EVENTS 1\n"
_CODES = "".join(
    f"#define BPF_{name} {value:#x}\n"
    for name, value in (
        ("LD", 0), ("LDX", 1), ("ST", 2), ("STX", 3), ("ALU", 4), ("JMP", 5), ("RET", 6), ("MISC", 7), ("W", 0),
        ("H", 8), ("B", 16), ("IMM", 0), ("ABS", 32), ("IND", 64), ("MEM", 96), ("LEN", 128), ("MSH", 160), ("ADD", 0),
        ("SUB", 16), ("MUL", 32), ("DIV", 48), ("OR", 64), ("AND", 80), ("LSH", 96), ("RSH", 112), ("NEG", 128),
        ("MOD", 144), ("XOR", 160), ("JA", 0), ("JEQ", 16), ("JGT", 32), ("JGE", 48), ("JSET", 64), ("K", 0), ("X", 8),
    )
)  # fmt: skip
_EMPTY = ("uapi/linux/bpf.h", "uapi/linux/if_packet.h", "linux/log2.h", "asm/page.h")


class BccProbe:
    """Compiled and loaded by its making, attached by `attach`. InfraError where BCC is missing or refuses."""

    backend: Literal["bcc"] = "bcc"

    def __init__(self) -> None:
        self._bcc = _package()
        with scratch("bcc") as folder:
            _headers(Path(folder))
            with _variable("BCC_KERNEL_SOURCE", folder), _without_output():
                try:
                    self._bpf = self._bcc.BPF(text=_text(), cflags=["-DSCHEDCP_BCC", f"-I{SOURCE.parent}"])
                except Exception as error:  # BCC's own are plain Exceptions
                    raise InfraError(f"BCC does not take the probe: {error}") from None
        self._attached = True

    def map_fd(self, name: str) -> int:
        return int(self._bpf[name.encode()].map_fd)

    def program_fds(self) -> list[int]:
        return [int(function.fd) for function in self._bpf.funcs.values()]

    def attach(self, clock_cpu: int) -> None:
        """Start the clock: BCC attaches tracepoints as it loads them."""
        kinds, configs = self._bcc.PerfType, self._bcc.PerfSWConfig
        self._bpf.attach_perf_event(
            ev_type=kinds.SOFTWARE,
            ev_config=configs.CPU_CLOCK,
            fn_name=TIMER.encode(),
            sample_period=1_000_000,
            cpu=clock_cpu,
        )

    def detach(self) -> None:
        if self._attached:
            self._attached = False
            with contextlib.suppress(Exception):  # where the clock was not attached
                self._bpf.detach_perf_event(
                    ev_type=self._bcc.PerfType.SOFTWARE, ev_config=self._bcc.PerfSWConfig.CPU_CLOCK
                )
            for name in list(self._bpf.tracepoint_fds):
                self._bpf.detach_tracepoint(name)

    def close(self) -> None:
        self.detach()
        self._bpf.cleanup()


def _package() -> Any:
    """Debian's bcc, from outside our venv: only its own folder is added, and only while it is imported."""
    try:
        return importlib.import_module("bcc")
    except ImportError:
        pass
    if not (PACKAGES / "bcc").is_dir():
        raise InfraError("BCC is not installed: run `apt-get install python3-bpfcc`")
    sys.path.append(str(PACKAGES))
    try:
        return importlib.import_module("bcc")
    except (ImportError, OSError) as error:
        raise InfraError(f"BCC cannot be loaded: {error}") from None
    finally:
        sys.path.remove(str(PACKAGES))


def _text() -> str:
    """The probe in BCC's dialect: maps are objects with methods there."""
    text = re.sub(r"\bLOOKUP\((\w+), ", r"\1.lookup(", SOURCE.read_text())
    return re.sub(r"\bUPDATE\((\w+), ", r"\1.update(", text)


def _headers(folder: Path) -> None:
    numbers = [int(number) for number in re.findall(r"\d+", platform.release())[:3]]
    version = (numbers[0] << 16) + (numbers[1] << 8) + min(255, numbers[2] if len(numbers) > 2 else 0)
    texts = {
        "linux/types.h": _TYPES, "linux/kconfig.h": _CONFIG, "linux/bpf_common.h": _CODES,
        "linux/version.h": "#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))\n"
        f"#define LINUX_VERSION_CODE {version}\n", **dict.fromkeys(_EMPTY, "\n"),
    }  # fmt: skip
    for name, text in texts.items():
        path = folder / "include" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@contextlib.contextmanager
def _variable(name: str, value: str) -> Any:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextlib.contextmanager
def _without_output() -> Any:
    """clang inside BCC writes to descriptor 2 what it thinks; what matters of it is in the exception."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)

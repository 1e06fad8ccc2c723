# SPDX-License-Identifier: Apache-2.0
"""A real schbench in place of our own: whether a file can be one, and what its output says, under our names."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

from benchmarks.workloads import Binary
from policy_lake.model import InputError

_LIMIT = 64 << 20
_ELF64_LITTLE = b"\x7fELF\x02\x01"
_EXEC, _DYN, _X86_64 = 2, 3, 62
_PT_INTERP = 3


def read_binary(path: Path) -> Binary:
    """The user's binary; InputError naming the path unless it is a static x86-64 ELF program, as the guest needs it."""
    try:
        if path.stat().st_size > _LIMIT:
            raise InputError(f"{path}: larger than {_LIMIT >> 20} MiB")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if wrong := _not_static(data):
        raise InputError(f"{path}: {wrong}; the guest needs a static x86-64 program (build schbench with -static)")
    return Binary(str(path), hashlib.sha256(data).hexdigest())


def _not_static(data: bytes) -> str:
    """Why `data` is not a static ELF program for x86-64 (System V ABI, figures 4-3 and 5-1); empty if it is one."""
    if data[:6] != _ELF64_LITTLE or len(data) < 64:
        return "not a 64-bit ELF file"
    kind, machine = struct.unpack_from("<HH", data, 16)
    headers_at, size, count = struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54)
    if machine != _X86_64:
        return f"an ELF file for another machine ({machine})"
    if kind not in (_EXEC, _DYN) or size < 56 or headers_at + size * count > len(data):
        return "not an ELF program, or cut short"
    types = [struct.unpack_from("<I", data, headers_at + size * index)[0] for index in range(count)]
    return "dynamically linked" if _PT_INTERP in types else ""

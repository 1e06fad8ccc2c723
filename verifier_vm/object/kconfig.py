# SPDX-License-Identifier: Apache-2.0
"""A kernel's configuration as libbpf reads it for `__kconfig` externs: names and values of one file."""

from __future__ import annotations

import re

MOST_BYTES = 4 << 20  # Debian's has 130 KB
_LINE = re.compile(r"^(CONFIG_\w+)=(.*)$", re.MULTILINE)
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
TRISTATE = {"n": 0, "y": 1, "m": 2}  # enum libbpf_tristate


def read_kconfig(text: str) -> dict[str, str]:
    """CONFIG_ names with their values as they stand there: y, m, a number, or a quoted string."""
    return {match[1]: match[2].strip() for match in _LINE.finditer(text)}


def version_code(release: str) -> int | None:
    """LINUX_KERNEL_VERSION for "7.3.4+deb13": three numbers, a byte each but the first; None for what is none."""
    match = _VERSION.match(release)
    if match is None:
        return None
    major, minor, patch = (int(part or 0) for part in match.groups())
    return (major << 16) + (minor << 8) + min(patch, 255)


def encode(value: str, size: int, *, is_bool: bool, is_char: bool) -> bytes | None:
    """A value as libbpf puts it into an extern of `size` bytes; None for what it would refuse, or only it knows."""
    if value in TRISTATE:
        if is_char:
            return value.encode()
        number = TRISTATE[value]
        return None if is_bool and number > 1 else number.to_bytes(size, "little") if size in (1, 4) else None
    if value.startswith('"'):
        text = value.strip('"').encode()
        return text[: size - 1].ljust(size, b"\0") if is_char and size > 1 else None
    try:
        number = int(value, 0)
    except ValueError:
        return None
    return (number & (1 << 8 * size) - 1).to_bytes(size, "little") if size in (1, 2, 4, 8) else None

# SPDX-License-Identifier: Apache-2.0
"""A task's name (its comm): 15 bytes of the kernel's, of any value, and the text that stands for them with us."""

from __future__ import annotations

import re

from policy_lake.show import bytes_printed

COMM_BYTES = 15  # TASK_COMM_LEN less the zero at its end
_ESCAPED = re.compile(rb"\\x([89a-f][0-9a-f])")


def comm_text(name: bytes) -> str:
    """The name as text: UTF-8, and `\\xe7` for a byte that is none of it, as a name cut within a character has."""
    return name.decode(errors="backslashreplace")


def comm_bytes(text: str) -> bytes:
    """The bytes that `text` stands for: `comm_text` of them is `text` again."""
    plain = text.encode()
    name = _ESCAPED.sub(lambda match: bytes.fromhex(match[1].decode()), plain)
    return name if comm_text(name) == text else plain


def comm_printed(text: str) -> str:
    """The name that a program of ours in a guest printed: its JSON has a character for each byte, up to U+00FF."""
    return bytes_printed(text)

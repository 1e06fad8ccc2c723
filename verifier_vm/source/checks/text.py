# SPDX-License-Identifier: Apache-2.0
"""What may not be written: assembler, and fields of the task that are the kernel's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from verifier_vm.source import parse
from verifier_vm.source.tree import KEEPS_VALUE, Found, Program

_SETTERS = {"slice": "sx_set_slice", "dsq_vtime": "sx_set_vtime"}
_ADVICE = "say it in C: what the assembler does cannot be checked"


def check(program: Program, others: list[Any]) -> Iterator[Found]:
    """All of this family; `others` are the declarations that are no function, variable or type."""
    for cursor in others:
        first = next(iter(cursor.get_tokens()), None)
        if first is not None and first.spelling in ("asm", "__asm__", "__asm"):
            yield Found("asm", "reject", "assembler outside of functions", cursor.location.line, _ADVICE)
    for function in program.functions.values():
        for node in function.body.walk():
            if node.kind == "asm" and parse.spelled_here(node.cursor) and not _is_barrier(node.cursor):
                yield Found("asm", "reject", "inline assembler", node.line, _ADVICE)
            elif node.kind == "binary" and node.text in KEEPS_VALUE and node.kids[0].kind == "field":
                yield from _write(node.kids[0].path, node.line)


def _is_barrier(cursor: Any) -> bool:
    """`asm volatile("" ::: "memory")` orders memory and is no code."""
    template = next((token.spelling for token in cursor.get_tokens() if token.spelling.startswith('"')), "")
    return template == '""'


def _write(path: str, line: int) -> Iterator[Found]:
    field = path.rpartition("scx.")[2]
    if "scx." not in path or "." in field or field == "disallow":
        return
    if field in _SETTERS:
        yield Found(
            "write", "note", f"p->scx.{field} is written directly, which 7.3 still allows and warns about", line,
            f"call {_SETTERS[field]}",
        )  # fmt: skip
    else:
        yield Found("write", "suspicion", f"p->scx.{field} is the kernel's, and may not be written", line, "leave it")

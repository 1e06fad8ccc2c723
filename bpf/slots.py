# SPDX-License-Identifier: Apache-2.0
"""A fixed policy with four expressions of C to fill in, each checked before it is put into the source.

What is not one expression over the template's own facts never reaches the compiler, so a slot cannot reach what the
template keeps: who owns a task, which queues there are, that nobody waits for ever.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from policy_lake.errors import InputError

TEMPLATE = Path(__file__).parent / "templates" / "slots.bpf.c"
SLOTS = ("key", "slice", "queue", "preempt")
FACTS = (
    "weight", "burst_ns", "ran_ns", "slept_ns", "total_ns", "woken", "kthread", "pinned", "queued", "background",
    "cpus",
)  # fmt: skip
UNITS = ("SX_US", "SX_MS", "SX_SEC")
FUNCTIONS = ("min", "max", "div")
LONGEST, DEEPEST = 400, 24  # characters of one expression, and how deep it may be nested
TOKEN = re.compile(r"\s*(?:(\d{1,18})(?![\w.])|([A-Za-z_]\w*)|(<<|>>|<=|>=|==|!=|&&|\|\||[-+*<>!?:(),]))", re.ASCII)
BINARY = ("||", "&&", "==", "!=", "<", ">", "<=", ">=", "<<", ">>", "+", "-", "*")
Fault = Literal["slot", "empty", "length", "character", "name", "operator", "form", "depth"]


class SlotError(InputError):
    """This is no expression that a slot takes; `code` is what is wrong with it."""

    def __init__(self, code: Fault, slot: str, message: str) -> None:
        super().__init__(f"slot {slot}: {message}")
        self.code: Fault = code


def fill(slots: Mapping[str, str]) -> str:
    """The template's C with these expressions in its slots, the others as they are; SlotError for what is none."""
    source = TEMPLATE.read_text()
    for name, text in slots.items():
        if name not in SLOTS:
            raise SlotError("slot", name[:40], f"there is none of that name, only {', '.join(SLOTS)}")
        expression = checked(name, text)
        source, count = re.subn(
            rf"^#define SLOT_{name.upper()} .*$", f"#define SLOT_{name.upper()} ({expression})", source, flags=re.M
        )
        assert count == 1
    return source


def checked(slot: str, text: str) -> str:
    """The expression as C over the facts `f`; SlotError unless it is one of numbers, facts, operators, functions."""
    if not text.strip():
        raise SlotError("empty", slot, "it is empty")
    if len(text) > LONGEST:
        raise SlotError("length", slot, f"{len(text)} characters are more than {LONGEST}")
    parser = _Parser(slot, _tokens(slot, text))
    parser.ternary(0)
    if parser.left():
        raise SlotError("form", slot, f"'{parser.left()}' was not expected there: one expression, no more")
    return " ".join(f"f.{word}" if word in FACTS else word for word in parser.tokens)


def _tokens(slot: str, text: str) -> list[str]:
    tokens, at, text = [], 0, text.strip()
    while at < len(text):
        found = TOKEN.match(text, at)
        if found is None:
            rest = text[at:].lstrip()[:12]
            why = "write div(a, b)" if rest[:1] in "/%" else "numbers, facts, operators and min, max, div are all"
            raise SlotError(
                "operator" if rest[:1] in "/%&|^~=" else "character", slot, f"'{rest}' is not allowed: {why}"
            )
        word = found[2]
        if word and word not in (*FACTS, *UNITS, *FUNCTIONS):
            raise SlotError("name", slot, f"'{word[:40]}' is not known; facts are {', '.join(FACTS)}")
        tokens.append(found[1] or word or found[3])
        at = found.end()
    return tokens


class _Parser:
    """Recursive descent over C's expressions, without regard to precedence: only the form is at stake here."""

    def __init__(self, slot: str, tokens: list[str]) -> None:
        self.slot, self.tokens, self.at = slot, tokens, 0

    def left(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def ternary(self, depth: int) -> None:
        if depth > DEEPEST:
            raise SlotError("depth", self.slot, f"it is nested deeper than {DEEPEST}")
        self.operand(depth)
        while self.left() in BINARY:
            self.at += 1
            self.operand(depth)
        if self.left() == "?":
            self.at += 1
            self.ternary(depth + 1)
            self.take(":")
            self.ternary(depth + 1)

    def operand(self, depth: int) -> None:
        while self.left() in ("-", "!", "+"):
            self.at += 1
        word = self.left()
        self.at += 1
        if word in FUNCTIONS:
            self.take("(")
            self.ternary(depth + 1)
            self.take(",")
            self.ternary(depth + 1)
            self.take(")")
        elif word == "(":
            self.ternary(depth + 1)
            self.take(")")
        elif not (word.isdigit() or word in FACTS or word in UNITS):
            raise SlotError(
                "form", self.slot, f"a value was expected in place of '{word}'" if word else "it ends early"
            )

    def take(self, token: str) -> None:
        if self.left() != token:
            raise SlotError("form", self.slot, f"'{token}' was expected in place of '{self.left() or 'the end'}'")
        self.at += 1

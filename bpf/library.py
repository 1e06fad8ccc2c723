# SPDX-License-Identifier: Apache-2.0
"""Policies as planners see them: what the essay and the knobs of a .bpf.c say."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Literal

from policy_lake.errors import InputError
from policy_lake.model import Knob, Origin, Policy

LIBRARY_DIR = Path(__file__).parent / "library"
SUFFIX = ".bpf.c"
NAME_LIMIT = 15  # TASK_COMM_LEN less its end
UNITS_OF_SOURCE = {"SX_US": 10**3, "SX_MS": 10**6, "SX_SEC": 10**9}
ESSAY = re.compile(r"/\*(?P<text>.*?)\*/", re.DOTALL)
SECTIONS = ("What", "Good for", "Weak at", "Workloads")  # that a library policy must have
HEADS = "|".join((*SECTIONS, "Mechanisms"))
MECHANISM = re.compile(r"([a-z][a-z-]{0,30})=([a-z0-9][a-z0-9+_-]{0,60})")
# C's names of the types that a knob can have, for BPF, where char is signed and long has 64 bits.
C_TYPES = {
    **{f"{prefix}{sign}{bits}": f"{sign}{bits}" for prefix in ("", "__") for sign in "us" for bits in (8, 16, 32, 64)},
    **{f"{word}{bits}_t": f"{sign}{bits}" for word, sign in (("uint", "u"), ("int", "s")) for bits in (8, 16, 32, 64)},
    **{
        f"{words}{name}": f"{sign}{bits}"
        for words, sign in (("unsigned ", "u"), ("signed ", "s"), ("", "s"))
        for name, bits in (("char", 8), ("short", 16), ("int", 32), ("long", 64), ("long long", 64))
    },
    **{"char": "char", "bool": "bool", "_Bool": "bool"},
}
TYPES = "|".join(sorted(C_TYPES, key=len, reverse=True))
KNOB = re.compile(
    rf"^const volatile (?P<type>{TYPES})\s+(?P<name>\w+)(?P<dims>(?:\[\d+\])*)\s*(?:=\s*(?P<default>[^;]+?)\s*)?;"
    r"[ \t]*(?:/\*(?P<block>.*?)\*/|//(?P<line>[^\n]*))?",
    re.MULTILINE | re.DOTALL,
)
LIMIT = r"[+-]?(?:0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})(?!\w)"
RANGE = re.compile(rf"^(?:(?P<unit>\w+), )?(?P<low>{LIMIT})\.\.(?P<high>{LIMIT}): (?P<doc>.*)$", re.DOTALL)


@functools.cache
def policies() -> tuple[Policy, ...]:
    """The library, in order of id."""
    return tuple(
        read_policy(path.read_text(), path.name.removesuffix(SUFFIX), "library")
        for path in sorted(LIBRARY_DIR.glob(f"*{SUFFIX}"))
    )


def policy(policy_id: str) -> Policy:
    """The library policy of this id; InputError naming the known ids."""
    for known in policies():
        if known.id == policy_id:
            return known
    raise InputError(f"unknown policy '{policy_id}'; known: {', '.join(known.id for known in policies())}")


def read_policy(source: str, policy_id: str, origin: Origin) -> Policy:
    """What a source says of itself. A library policy must say it all (InputError); of others, what is there is read.

    The essay is the first comment that begins `id - title`, with the sections What:, Good for:, Weak at:, Workloads:.
    `Mechanisms:` is `name=value, …`, the choices that it is made of. A knob is a `const volatile` at the start of a
    line; the comment after it is `unit, low..high: meaning`, or no more than `meaning`. What values it takes,
    policy_lake/knobs.py decides.
    """
    title, essay = _essay(source, policy_id)
    missing = [section for section in ("title", *SECTIONS) if not {**essay, "title": title}.get(section)]
    knobs = tuple(_knob(declaration, policy_id) for declaration in KNOB.finditer(source) if _settable(declaration))
    undocumented = [knob.name for knob in knobs if not knob.doc]
    if origin == "library" and (missing or undocumented):
        raise InputError(f"policy '{policy_id}' does not tell: {', '.join(missing + undocumented)}")
    return Policy(
        id=policy_id,
        title=title,
        summary=essay.get("What", ""),
        good_for=essay.get("Good for", ""),
        weak_at=essay.get("Weak at", ""),
        source=source,
        knobs=knobs,
        workloads=tuple(word.strip() for word in essay.get("Workloads", "").split(",") if word.strip()),
        origin=origin,
        mechanisms=_mechanisms(essay.get("Mechanisms", ""), policy_id, origin),
    )


def _mechanisms(text: str, policy_id: str, origin: str) -> tuple[tuple[str, str], ...]:
    """What an essay names as `name=value, …`; of somebody else's policy, as much of it as is so written."""
    named: dict[str, str] = {}
    for word in (word.strip() for word in text.split(",") if word.strip()):
        pair = MECHANISM.fullmatch(word)
        if origin == "library" and (not pair or pair[1] in named):
            raise InputError(f"policy '{policy_id}': Mechanisms: '{word[:40]}' is no name=value, or named twice")
        if pair:
            named.setdefault(pair[1], pair[2])
    return tuple(named.items())


def _essay(source: str, policy_id: str) -> tuple[str, dict[str, str]]:
    for comment in ESSAY.finditer(source):
        lines = [re.sub(r"^[ \t]*\*? ?", "", line).rstrip() for line in comment["text"].splitlines()]
        text = "\n".join(lines).strip()
        heading = re.match(rf"{re.escape(policy_id)} - (.+)", text)
        if heading:
            parts = re.split(rf"^({HEADS}):", text, flags=re.MULTILINE)
            bodies = (" ".join(body.split()) for body in parts[2::2])
            return heading[1], dict(zip(parts[1::2], bodies, strict=True))
    return "", {}


def _dimensions(declaration: re.Match[str]) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", declaration["dims"])]


def _settable(declaration: re.Match[str]) -> bool:
    """Whether the loader can set it: one value, a list, a name or a list of names, and no array of more dimensions."""
    dims, is_char = _dimensions(declaration), C_TYPES[declaration["type"]] == "char"
    return all(dims) and len(dims) <= (2 if is_char else 1) and not (dims and is_char and dims[-1] < 2)


def _knob(declaration: re.Match[str], policy_id: str) -> Knob:
    comment = " ".join((declaration["block"] or declaration["line"] or "").split())
    dims = _dimensions(declaration)
    documented = RANGE.match(comment)
    low, high = (_limit(documented["low"]), _limit(documented["high"])) if documented else (None, None)
    if low is not None and high is not None and low > high:
        raise InputError(f"policy '{policy_id}': knob '{declaration['name']}': no number is in its range {low}..{high}")
    c_type = C_TYPES[declaration["type"]]
    kind: Literal["int", "bool", "names", "ints"] = "int"
    if dims:
        kind = "names" if c_type == "char" else "ints"
    elif c_type == "bool":
        kind = "bool"
    return Knob(
        name=declaration["name"],
        kind=kind,
        default=_default(declaration["default"], kind),
        doc=documented["doc"] if documented else comment,
        low=low,
        high=high,
        unit=(documented["unit"] or "") if documented else "",
        # `char x[16]` is one name, `char x[4][16]` four of them; each ends in a zero.
        count=dims[0] if dims and (kind == "ints" or len(dims) > 1) else 1,
        c_type=c_type,
        name_bytes=min(dims[-1] - 1, NAME_LIMIT) if kind == "names" else NAME_LIMIT,
    )


def _limit(text: str) -> int:
    """A limit as the author means it: hexadecimal with 0x, else decimal, leading zeros or not."""
    return int(text, 16 if "x" in text.lower() else 10)


def _default(text: str | None, kind: str) -> str:
    """A C initialiser as the text of a setting: products of numbers and SX_MS and the like, true, false; none is 0."""
    if kind in ("names", "ints"):
        return ""
    if kind == "bool":
        return "true" if text == "true" else "false"
    value = 1
    for factor in (text or "0").split("*"):
        word = factor.strip()
        number = re.fullmatch(r"(-?(?:0x[0-9a-fA-F]+|\d+))[uUlL]*", word)
        if not number and word not in UNITS_OF_SOURCE:
            return text or ""  # an expression of somebody else's: shown, not computed
        value *= int(number[1], 0) if number else UNITS_OF_SOURCE[word]
    return str(value)

# SPDX-License-Identifier: Apache-2.0
"""Policies as planners see them: what the essay and the knobs of a .bpf.c say, and knob settings a loader can apply."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Literal

from policy_lake.model import InputError, Knob, KnobValue, Policy

LIBRARY_DIR = Path(__file__).parent / "library"
SUFFIX = ".bpf.c"
NAME_LIMIT = 15  # TASK_COMM_LEN less its end
UNITS_OF_SOURCE = {"SX_US": 10**3, "SX_MS": 10**6, "SX_SEC": 10**9}
ESSAY = re.compile(r"/\*(?P<text>.*?)\*/", re.DOTALL)
SECTIONS = ("What", "Good for", "Weak at", "Workloads")
TYPES = r"(?:unsigned |signed )?(?:__)?(?:[us](?:8|16|32|64)|u?int(?:8|16|32|64)_t|int|long|bool|char)"
KNOB = re.compile(
    rf"^const volatile (?P<type>{TYPES})\s+(?P<name>\w+)(?P<dims>(?:\[\d+\])*)\s*(?:=\s*(?P<default>[^;]+?)\s*)?;"
    r"[ \t]*(?:/\*(?P<block>.*?)\*/|//(?P<line>[^\n]*))?",
    re.MULTILINE | re.DOTALL,
)
RANGE = re.compile(r"^(?:(?P<unit>\w+), )?(?P<low>-?\d+)\.\.(?P<high>-?\d+): (?P<doc>.*)$", re.DOTALL)


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


def read_policy(source: str, policy_id: str, origin: Literal["library", "user", "composed"]) -> Policy:
    """What a source says of itself. A library policy must say it all (InputError); of others, what is there is read.

    The essay is the first comment that begins `id - title`, with the sections What:, Good for:, Weak at:, Workloads:.
    A knob is a `const volatile` at the start of a line; the comment after it is `unit, low..high: meaning`, or no more
    than `meaning`.
    """
    title, essay = _essay(source, policy_id)
    missing = [section for section in ("title", *SECTIONS) if not {**essay, "title": title}.get(section)]
    knobs = tuple(_knob(found) for found in KNOB.finditer(source))
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
    )


def knob_arguments(of: Policy, settings: dict[str, KnobValue]) -> tuple[str, ...]:
    """`name=value` for the loader, in the order of the settings; InputError for an unknown knob or an unfit value."""
    known = {knob.name: knob for knob in of.knobs}
    for name in settings:
        if name not in known:
            raise InputError(f"policy '{of.id}' has no knob '{name}'; it has: {', '.join(known) or 'none'}")
    return tuple(f"{name}={_loadable(known[name], value, of.id)}" for name, value in settings.items())


def _essay(source: str, policy_id: str) -> tuple[str, dict[str, str]]:
    for comment in ESSAY.finditer(source):
        lines = [re.sub(r"^[ \t]*\*? ?", "", line).rstrip() for line in comment["text"].splitlines()]
        text = "\n".join(lines).strip()
        heading = re.match(rf"{re.escape(policy_id)} - (.+)", text)
        if heading:
            parts = re.split(rf"^({'|'.join(SECTIONS)}):", text, flags=re.MULTILINE)
            bodies = (" ".join(body.split()) for body in parts[2::2])
            return heading[1], dict(zip(parts[1::2], bodies, strict=True))
    return "", {}


def _knob(found: re.Match[str]) -> Knob:
    comment = " ".join((found["block"] or found["line"] or "").split())
    dims = [int(number) for number in re.findall(r"\d+", found["dims"])]
    told = RANGE.match(comment)
    kind: Literal["int", "bool", "names", "ints"] = "int"
    if found["type"] == "bool":
        kind = "bool"
    elif dims:
        kind = "names" if found["type"] == "char" else "ints"
    return Knob(
        name=found["name"],
        kind=kind,
        default=_default(found["default"], kind),
        doc=told["doc"] if told else comment,
        low=int(told["low"]) if told else None,
        high=int(told["high"]) if told else None,
        unit=(told["unit"] or "") if told else "",
        count=dims[0] if dims else 1,
    )


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


def _loadable(knob: Knob, value: KnobValue, policy_id: str) -> str:
    where = f"knob '{knob.name}' of policy '{policy_id}'"
    if knob.kind == "bool":
        if str(value).lower() not in ("true", "false", "1", "0"):
            raise InputError(f"{where} is true or false, not '{value}'")
        return "1" if str(value).lower() in ("true", "1") else "0"
    if knob.kind == "int":
        return str(_whole(knob, value, where))
    items = [item.strip() for item in str(value).split(",")] if str(value).strip() else []
    if len(items) > knob.count:
        raise InputError(f"{where} takes up to {knob.count} items, not {len(items)}")
    if knob.kind == "ints":
        return ",".join(str(_whole(knob, item, where)) for item in items)
    for item in items:
        if not re.fullmatch(rf"[^\s,=]{{1,{NAME_LIMIT}}}", item) or len(item.encode()) > NAME_LIMIT:
            raise InputError(f"{where} takes names of 1 to {NAME_LIMIT} bytes without spaces, not '{item}'")
    return ",".join(items)


def _whole(knob: Knob, value: KnobValue, where: str) -> int:
    try:
        number = int(value) if not isinstance(value, float) or value.is_integer() else None
    except ValueError:
        number = None
    if number is None or isinstance(value, bool):
        raise InputError(f"{where} is a whole number, not '{value}'")
    if (knob.low is not None and number < knob.low) or (knob.high is not None and number > knob.high):
        raise InputError(f"{where} is from {knob.low} to {knob.high} {knob.unit}".rstrip() + f", not {number}")
    return number

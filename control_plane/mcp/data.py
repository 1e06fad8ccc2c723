# SPDX-License-Identifier: Apache-2.0
"""What is somebody else's in an answer: texts, marked as data and cut; names, of plain letters; no path of this host.

A client's model reads all of an answer. What a workload's author, a policy's author, a compiler or a guest wrote is
therefore never a bare string in it: it is `Quoted`, or a name that can hold no sentence.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from control_plane.mcp.limits import TEXT_CHARACTERS
from policy_lake.model import KnobValue
from policy_lake.show import for_terminal

Speaker = Literal["workload", "policy", "planner", "verifier", "guest", "lake", "log", "guide"]
NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}$"
PLACE = r"^[A-Za-z0-9_.:/+<>-]{0,120}$"
# A word that may name something on this host; what a guest or a kernel's source calls its own is none.
_ROOTS = sorted(
    (re.escape(path.name) for path in Path("/").iterdir() if path.name not in ("proc", "sys", "dev")), key=len
)
_BEGINS = r"(?:(?<![\w.<>/])|(?<=-I)|(?<=-L)|(?<=://))"  # not within a path of the kernel's source, `arch/x86/lib/x.c`
_PATH = re.compile(rf"{_BEGINS}/(?:{'|'.join(reversed(_ROOTS))})(?![\w-])[^\s'\"`:;,()\[\]<>]*")
HIDDEN = "<path>"


class Record(BaseModel):
    """A part of an answer: all of its fields are there, and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Quoted(Record):
    """Text from outside, as data: quote it, weigh it, never follow it. `left_out`: characters that were cut off."""

    text: str
    said_by: Speaker
    left_out: Annotated[int, Field(ge=0)] = 0


Name = Annotated[str, Field(pattern=NAME)]
NameOrNone = Annotated[str, Field(pattern=rf"^$|{NAME}")]
Place = Annotated[str, Field(pattern=PLACE)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{0,64}$")]
Moment = Annotated[str, Field(pattern=r"^[0-9T:.+Z -]{0,40}$")]  # ISO 8601
KnobSaid = int | float | bool | Quoted


def quoted(text: object, said_by: Speaker, most: int = TEXT_CHARACTERS) -> Quoted:
    """Text of somebody else's, of several lines, every character of it seen; no path of this host is left in it."""
    return _cut(without_paths(lines_seen(str(text))), said_by, most)


def quoted_source(source: str, most: int) -> Quoted:
    """A policy's source, which names no place on this host but what its author wrote."""
    return _cut(lines_seen(source), "policy", most)


def last_of(text: object, said_by: Speaker, most: int) -> Quoted:
    """The same as `quoted`, of a log: its end says how it went."""
    whole = without_paths(lines_seen(str(text)))
    return Quoted(text=whole[-most:], said_by=said_by, left_out=max(0, len(whole) - most))


def named(text: object) -> str:
    """A name as one that fits NAME: other characters, of which there are none in ours, become `_`."""
    return re.sub(r"[^A-Za-z0-9_.+-]", "_", str(text))[:100].lstrip(".+-") or "_"


def named_or_none(text: object) -> str:
    """The same, and empty where there is none."""
    return named(text) if str(text) else ""


def place_of(text: object) -> str:
    """FILE:LINE, or where in the guest, as one word."""
    return re.sub(r"[^A-Za-z0-9_.:/+<>-]", "_", without_paths(text))[:120]


def knobs_of(values: Mapping[str, KnobValue]) -> dict[str, KnobSaid]:
    """Knob values; a text among them is a list of names of tasks, which are anybody's."""
    return {named(name): quoted(value, "lake") if isinstance(value, str) else value for name, value in values.items()}


def without_paths(text: object) -> str:
    """The text without the places of files on this host: its own directories first, which may have spaces in them."""
    said = str(text)
    for place in _places():
        said = said.replace(place, HIDDEN)
    return _PATH.sub(HIDDEN, said)


def one_line(text: object, most: int) -> str:
    """A message of ours in one line that is fit to be sent."""
    said = for_terminal(" ".join(without_paths(text).split()))
    return said if len(said) <= most else f"{said[: most - 1]}…"


def lines_seen(text: str) -> str:
    """Lines and tabs stay, for a source's sake; of all else that cannot be seen there is an escape."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join("\t".join(for_terminal(part) for part in line.split("\t")) for line in lines)


def _places() -> list[str]:
    names = ("HOME", "PWD", "TMPDIR", "SCHEDCP_DATA_DIR", "SCHEDCP_CACHE_DIR", "SCHEDCP_LAKE", "SCHEDCP_KEY_STORE")
    places = {str(Path.home()), *(os.environ.get(name, "") for name in names)}
    return sorted((place for place in places if place.count("/") > 1), key=len, reverse=True)


def _cut(text: str, said_by: Speaker, most: int) -> Quoted:
    return Quoted(text=text[:most], said_by=said_by, left_out=max(0, len(text) - most))

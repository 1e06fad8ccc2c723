# SPDX-License-Identifier: Apache-2.0
"""A metric that the owner points at: a field of a JSON object, what a pattern finds in text, a series of a page."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.descriptor import Direction
from benchmarks.owner.metric import NAME, OwnerMetric, named, shown
from benchmarks.owner.text import lines_of
from policy_lake.errors import InputError
from policy_lake.exposition import largest_sample
from policy_lake.limits import OWNER_TEXT_BYTES, PATTERN_CHARACTERS, PATTERN_S
from policy_lake.printed import last_object, number

# What RE2, which takes time in proportion to the text, has not: so whoever runs a pattern by RE2 finds the same.
_NOT_RE2 = re.compile(r"\\[1-9gkGKZXR]|\(\?(?!:|P<|[imsU]+(?:-[imsU]+)?[:)])|[*+?}]\+")
_ESCAPES = re.compile(r"\\\\")


@dataclass(frozen=True, slots=True)
class Pattern:
    """`NAME=REGEX`: the one group of the regex, in the last line in which it is found, is the metric."""

    name: str
    regex: str


def read_pattern(word: str) -> Pattern:
    """The pattern in `NAME=REGEX`; InputError for one that is none, is long, or that RE2 would not take."""
    name, equals, regex = word.partition("=")
    where = f"pattern '{shown(word)}'"
    if not equals or not NAME.fullmatch(name):
        raise InputError(f"{where}: not NAME=REGEX")
    if len(regex) > PATTERN_CHARACTERS:
        raise InputError(f"{where}: longer than {PATTERN_CHARACTERS} characters")
    if found := _NOT_RE2.search(_ESCAPES.sub("  ", regex)):
        raise InputError(f"{where}: '{found[0]}' is nothing that RE2 knows")
    import regex as engine  # the standard library's has no limit of time

    try:
        groups = engine.compile(regex).groups
    except engine.error as error:
        raise InputError(f"{where}: {error.msg} at character {error.pos}") from None
    if groups != 1:
        raise InputError(f"{where}: has {groups} groups, and one is the metric: write (?:…) for others")
    return Pattern(name, regex)


def from_pattern(text: str, pattern: Pattern, *, unit: str = "", better: Direction | None = None) -> OwnerMetric:
    """What the pattern finds in the last line that it fits; InputError if it fits none, takes long, or no number."""
    import regex as engine

    source = f"pattern '{pattern.name}'"
    compiled, found, left_s = engine.compile(pattern.regex), None, PATTERN_S
    for number_of, each in enumerate(lines_of(text, source), 1):
        began = time.process_time()
        try:
            match = compiled.search(each, timeout=max(left_s, 1e-3))
        except TimeoutError:
            raise InputError(
                f"{source}, line {number_of}: no answer within {PATTERN_S:g} s of CPU time: make it simpler"
            ) from None
        left_s -= time.process_time() - began
        found = (number_of, match[1]) if match else found
    if found is None:
        raise InputError(f"{source}: fits no line")
    try:
        value = float(found[1])
    except (TypeError, ValueError):
        raise InputError(f"{source}, line {found[0]}: '{shown(found[1])}' is no number") from None
    return named(pattern.name, value, source, unit=unit, better=better)


def from_json(text: str, path: str, *, unit: str = "", better: Direction | None = None) -> OwnerMetric:
    """The number at `path` (`latency.p99_us`) of the JSON object that the text is, or that is its last line.

    InputError that names the path.
    """
    value = number(_object(text), path, where="JSON", error=InputError)
    return named(path.rpartition(".")[2], value, f"JSON '{shown(path)}'", unit=unit, better=better)


def _object(text: str) -> Mapping[str, Any]:
    if len(text) > OWNER_TEXT_BYTES:
        raise InputError(f"JSON: more than {OWNER_TEXT_BYTES >> 20} MiB of output")
    with contextlib.suppress(ValueError, RecursionError):
        if isinstance(whole := json.loads(text), dict):
            return whole
    return last_object(text, where="JSON", error=InputError)


def from_page(
    text: str, series: str, *, name: str = "", unit: str = "", better: Direction | None = None
) -> OwnerMetric:
    """The largest sample of a series of a page in Prometheus' text format; `name` is its own by default.

    A series' unit is in its name by that format's convention (`_seconds`); InputError where there is none of it.
    """
    source = f"series '{shown(series)}'"
    value = largest_sample(text, series)
    if value is None:
        raise InputError(f"{source}: the page has none with numbers")
    own = series.partition("{")[0]
    if not name and not unit and own.removesuffix("_total").endswith("_seconds"):
        return OwnerMetric(own, value, "s", "lower", source)
    return named(name or own, value, source, unit=unit, better=better)

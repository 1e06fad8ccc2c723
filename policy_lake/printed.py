# SPDX-License-Identifier: Apache-2.0
"""JSON as a guest's programs print it: every field is there, every number finite; the first that is not is named."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, TypeVar, get_origin

from policy_lake.errors import InfraError, SchedcpError
from policy_lake.limits import OUTPUT_BYTES

Kind = TypeVar("Kind")


def take(
    record: Mapping[str, Any], path: str, kind: type[Kind], *, where: str, error: type[SchedcpError] = InfraError
) -> Kind:
    """The field `path` (`a.b.c`) of `record`, which must be a `kind`; a bool is no number, but an int is a float.

    Raises `error` naming `where` and the field.
    """
    value: Any = record
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            raise error(f"{where}: field '{path}' is missing")
        value = value[name]
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 2**1000 else math.inf  # JSON has integers that no float holds
    if not isinstance(value, get_origin(kind) or kind) or (isinstance(value, bool) and kind is not bool):
        raise error(f"{where}: field '{path}' must be of type {kind.__name__}, not {value!r:.60}")
    return value


def number(
    record: Mapping[str, Any], path: str, *, where: str, error: type[SchedcpError] = InfraError, zero: bool = True
) -> float:
    """The field `path` as a finite number above 0, or 0 itself unless `zero` is False; `error` otherwise."""
    value = take(record, path, float, where=where, error=error)
    if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        expected = "of at least 0" if zero else "above 0"
        raise error(f"{where}: field '{path}' must be a finite number {expected}, not {value}")
    return value


def last_object(text: str, *, where: str, error: type[SchedcpError] = InfraError) -> dict[str, Any]:
    """The JSON object on the last line of `text` that is not blank; `error` where there is none."""
    last = text[-OUTPUT_BYTES:].rstrip().rpartition("\n")[2]
    try:
        parsed = json.loads(last)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise error(f"{where}: its last line of output is not a JSON object but {last[:60]!r}")
    return parsed

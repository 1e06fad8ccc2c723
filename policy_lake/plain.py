# SPDX-License-Identifier: Apache-2.0
"""Records to JSON and back with the standard library alone: what a host has, which has no pydantic.

For the records of tokens, revocation lists, logs and host states, and as strict as their readers, who compare what they
read with what would have been written: dataclasses of str, int, float, bool, None, datetime, Literal, enums of str,
tuples, dicts with str for keys, and dataclasses. A test holds it to what pydantic makes of the same.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Union


def to_plain(value: Any) -> Any:
    """JSON-ready data; TypeError for what is none of these."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple | list | frozenset):
        return [to_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def from_plain(kind: Any, data: Any) -> Any:
    """The record of that type; unknown members are dropped, ValueError for wrong or missing ones."""
    origin, of = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return data
    if dataclasses.is_dataclass(kind):
        return _record(kind, data)
    if origin in (Union, types.UnionType):
        return _one_of(of, data)
    if origin in (tuple, list):
        return _items(origin, of, data)
    return _members(of, data) if origin in (dict, Mapping) else _scalar(kind, of, data)


def _record(kind: Any, data: Any) -> Any:
    if not isinstance(data, dict):
        raise ValueError(f"not a {kind.__name__}")
    hints, values = typing.get_type_hints(kind), {}
    for field in dataclasses.fields(kind):
        if field.name in data:
            try:
                values[field.name] = from_plain(hints[field.name], data[field.name])
            except ValueError as error:
                raise ValueError(f"{field.name}: {error}") from None
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ValueError(f"{field.name} is missing")
    return kind(**values)


def _one_of(kinds: tuple[Any, ...], data: Any) -> Any:
    if data is None and type(None) in kinds:
        return None
    # The type that the value has by itself comes first: an int for `float | int` stays one.
    for kind in sorted(kinds, key=lambda kind: kind is not type(data)):
        if kind is type(None):
            continue
        try:
            return from_plain(kind, data)
        except ValueError:
            continue
    raise ValueError(f"{data!r:.40} is of another type")


def _items(origin: Any, of: tuple[Any, ...], data: Any) -> Any:
    if not isinstance(data, list):
        raise ValueError("not a list")
    if origin is list or of[-1:] == (Ellipsis,):
        return origin(from_plain(of[0], item) for item in data)
    if len(data) != len(of):
        raise ValueError(f"{len(data)} items, not {len(of)}")
    return tuple(from_plain(kind, item) for kind, item in zip(of, data, strict=True))


def _members(of: tuple[Any, ...], data: Any) -> Any:
    if not isinstance(data, dict):
        raise ValueError("not an object")
    return {from_plain(of[0], key): from_plain(of[1], value) for key, value in data.items()}


def _scalar(kind: Any, choices: tuple[Any, ...], data: Any) -> Any:
    if choices:  # of a Literal
        if not any(data == choice and type(data) is type(choice) for choice in choices):
            raise ValueError(f"{data!r:.40} is none of {', '.join(map(repr, choices))}")
        return data
    if kind is datetime and isinstance(data, str):
        at = datetime.fromisoformat(data)
        return at.astimezone(UTC) if at.tzinfo else at
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(data)
    if kind is float and type(data) is int:
        return float(data)
    if type(data) is not kind:
        raise ValueError(f"{data!r:.40} is not of type {getattr(kind, '__name__', kind)}")
    return data

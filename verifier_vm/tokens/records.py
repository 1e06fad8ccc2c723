# SPDX-License-Identifier: Apache-2.0
"""Records to JSON and back by the standard library alone: a host that checks tokens has no pydantic.

It writes what policy_lake.model.to_json writes of the same record, and reads more strictly: no value is converted but
a whole number where a float is asked for. A member that the record has not is dropped; who reads what was signed
compares what comes out with what went in.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, Literal, TypeVar

from policy_lake.errors import InputError

Record = TypeVar("Record")
Reader = Callable[[Any], Any]


def to_plain(value: Any) -> Any:
    """A record, or what one holds, as JSON-ready data; tuples become lists, times ISO 8601."""
    if dataclasses.is_dataclass(value):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, list | tuple):
        return [to_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(name): to_plain(one) for name, one in value.items()}
    return str(value) if isinstance(value, str) else value  # a StrEnum is written as its word


def from_plain(kind: type[Record], data: Any) -> Record:
    """The record that `to_plain` made; ValueError for what is missing, of another type, or beyond its limits."""
    return typing.cast(Record, _reader(typing.cast(Any, kind))(data))


@cache
def _reader(kind: Any) -> Reader:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _optional(kind, arguments)
    made: dict[Any, Callable[[], Reader]] = {
        Literal: lambda: _one_of(arguments), tuple: lambda: _tuple(arguments), dict: lambda: _dict(arguments[1])
    }  # fmt: skip
    if origin in made:
        return made[origin]()
    if dataclasses.is_dataclass(kind):
        return _record(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    plain = {str: _text, int: _whole, float: _number, bool: _yes_or_no, datetime: _time}
    if kind not in plain:
        raise TypeError(f"{kind} is of no kind that is read from JSON")
    return plain[kind]


def _record(kind: Any) -> Reader:
    hints = typing.get_type_hints(kind)
    fields = [(field, _reader(hints[field.name])) for field in dataclasses.fields(kind)]

    def read(data: Any) -> Any:
        if not isinstance(data, dict):
            raise ValueError(f"no {kind.__name__}: {str(data)[:40]!r}")
        members = {}
        for field, reader in fields:
            if field.name in data:
                members[field.name] = reader(data[field.name])
            elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                raise ValueError(f"the member {field.name!r} is missing")
        try:
            return kind(**members)
        except InputError as error:
            raise ValueError(str(error)) from error

    return read


def _optional(kind: Any, arguments: tuple[Any, ...]) -> Reader:
    inner = [one for one in arguments if one is not types.NoneType]
    if len(inner) != 1:
        raise TypeError(f"{kind} is of no kind that is read from JSON")
    reader = _reader(inner[0])
    return lambda data: None if data is None else reader(data)


def _tuple(arguments: tuple[Any, ...]) -> Reader:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        each = _reader(arguments[0])
        return lambda data: tuple(each(one) for one in _list(data))
    readers = [_reader(one) for one in arguments]
    return lambda data: tuple(reader(one) for reader, one in zip(readers, _list(data), strict=True))


def _dict(values: Any) -> Reader:
    reader = _reader(values)

    def read(data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            raise ValueError(f"no object: {str(data)[:40]!r}")
        return {_text(name): reader(one) for name, one in data.items()}

    return read


def _one_of(words: tuple[Any, ...]) -> Reader:
    def read(data: Any) -> Any:
        if not isinstance(data, str) or data not in words:
            raise ValueError(f"{str(data)[:40]!r} is not one of {', '.join(map(str, words))}")
        return data

    return read


def _list(data: Any) -> list[Any]:
    if not isinstance(data, list | tuple):
        raise ValueError(f"no list: {str(data)[:40]!r}")
    return list(data)


def _text(data: Any) -> str:
    if not isinstance(data, str):
        raise ValueError(f"no text: {str(data)[:40]!r}")
    return data


def _whole(data: Any) -> int:
    if not isinstance(data, int) or isinstance(data, bool):
        raise ValueError(f"no whole number: {str(data)[:40]!r}")
    return data


def _number(data: Any) -> float:
    if not isinstance(data, int | float) or isinstance(data, bool):
        raise ValueError(f"no number: {str(data)[:40]!r}")
    return float(data)


def _yes_or_no(data: Any) -> bool:
    if not isinstance(data, bool):
        raise ValueError(f"neither true nor false: {str(data)[:40]!r}")
    return data


def _time(data: Any) -> datetime:
    return data if isinstance(data, datetime) else datetime.fromisoformat(_text(data))

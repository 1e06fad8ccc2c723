# SPDX-License-Identifier: Apache-2.0
"""A TOML file that anybody may have written, read within limits into a record; one line says what is wrong with it."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from policy_lake import limits
from policy_lake.errors import InputError
from policy_lake.files import read_outside
from policy_lake.show import for_terminal, shortened

if TYPE_CHECKING:
    from pydantic import ConfigDict

_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'")
# A number by itself, as in a list of 64; in a dotted key of digits each of these has another dot beside it.
_FLOAT = re.compile(r"(?<![\w.])\d+\.\d+(?![\w.])")
_MOST_DIGITS = "not valid TOML: a number has too many digits"
_DEEP = "not a descriptor: it is nested too deep"
# What pydantic says in a programmer's words; the rest it says well enough.
_WORDS = {
    "missing": "is missing", "unexpected_keyword_argument": "there is no such field",
    "extra_forbidden": "there is no such field", "dataclass_type": "must be a table", "dict_type": "must be a table",
    "model_type": "must be a table", "too_long": "has too many entries", "too_short": "has too few entries",
    "int_type": "must be a whole number", "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number", "float_type": "must be a number", "finite_number": "must be a number",
    "string_type": "must be a text in quotes",
}  # fmt: skip
T = TypeVar("T")


def read_toml(path: Path, *, instead: Mapping[bytes, str] | None = None) -> dict[str, Any]:
    """The tables of the file; InputError that names it where it is no plain, small file of TOML in UTF-8.

    `instead`: what a file that is no text is, by how it begins.
    """
    data = read_outside(path, limits.DESCRIPTOR_BYTES)
    try:
        text = data.decode("utf-8-sig")  # some editors begin a file with a byte order mark
    except UnicodeDecodeError:
        known = (what for begins, what in (instead or {}).items() if data.startswith(begins))
        raise InputError(f"{path}: {next(known, 'not a text file in UTF-8')}") from None
    for number, line in enumerate(text.splitlines(), 1):
        if _FLOAT.sub("", _QUOTED.sub("", line)).count(".") > limits.DESCRIPTOR_DOTS:
            raise InputError(
                f"{path}: line {number}: more than {limits.DESCRIPTOR_DOTS} dots outside of quotes and numbers"
            )
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise InputError(f"{path}: {_DEEP}") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not valid TOML: {for_terminal(shortened(error, 200))}") from None
    except ValueError:
        raise InputError(f"{path}: {_MOST_DIGITS}") from None


# So that `timeout_s = "30"` or a misspelt field is reported to the user and not guessed at.
STRICT: ConfigDict = {"extra": "forbid", "strict": True, "allow_inf_nan": False}


def validated(path: Path, data: Mapping[str, Any], record: type[T], *, config: ConfigDict | None = None) -> T:
    """The tables as that record (a dataclass that pydantic checks); InputError names the file and the field.

    `config` is for records that have none of their own, such as those that the lake keeps and reads leniently.
    """
    from pydantic import TypeAdapter, ValidationError  # 0.3 s that `schedcp --help` must not pay

    try:
        # By way of JSON, whose strict mode takes a list for a tuple; a TOML date becomes a string.
        if config is None:
            return TypeAdapter(record).validate_json(json.dumps(data, default=str))
        # A dataclass by itself takes no configuration from here; in a tuple it does, and so do those within it.
        return TypeAdapter(tuple[record], config=config).validate_json(json.dumps([data], default=str))[0]  # type: ignore[valid-type]
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        field = first["loc"] if config is None else first["loc"][1:]
        name = for_terminal(shortened(".".join(map(str, field)), 100))
        why = _WORDS.get(first["type"]) or f"{first['msg'][:1].lower()}{first['msg'][1:200]}"
        raise InputError(f"{path}: field '{name}': {for_terminal(why)}") from None
    except RecursionError:
        raise InputError(f"{path}: {_DEEP}") from None
    except ValueError:  # in hexadecimal it can be read, and not be written
        raise InputError(f"{path}: {_MOST_DIGITS}") from None

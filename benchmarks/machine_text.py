# SPDX-License-Identifier: Apache-2.0
"""A machine as the text of a descriptor, which machine_file.py reads back as the same machine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from benchmarks.machine_fields import Priced
from policy_lake.machine_model import WHOLE, Costs, MachineModel

_A_LINE = 16  # numbers of a list: a line with too many dots is refused


def descriptor_text(model: MachineModel, *, comment: str = "") -> str:
    """The file, of the numbers that have a source; `comment` is the first lines."""
    given = given_costs(model.costs, model.sources)
    lines = [*(f"# {line}" for line in comment.splitlines()), f"name = {_quoted(model.name)}"]
    lines += [f"title = {_quoted(model.title)}", "", "[topology]"]
    lines += [f"{name} = {getattr(model.topology, name)}" for name in ("cpus", "llcs", "smt", "nodes")]
    lines += ["", "[costs]", *(line for name, value in given.items() for line in _assigned(name, value))]
    lines += ["", "[sources]"]
    lines += [f"{name} = {_quoted(model.sources[name])}" for name in ("topology", *given)]
    return "\n".join(lines) + "\n"


def given_costs(costs: Costs, sources: dict[str, str]) -> dict[str, Any]:
    """The numbers that have a source by the names, and in the units, of a file."""
    names = (one.name for one in fields(Priced))
    return {name: _of_people(costs, name) for name in names if name in sources}


def priced_of(costs: Costs, sources: dict[str, str]) -> Priced:
    """The same as the record that a file is read into."""
    given = given_costs(costs, sources)
    return Priced(**{name: _as_tuples(value) for name, value in given.items()})


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


def _of_people(costs: Costs, name: str) -> Any:
    if name.endswith("_gbps"):
        return getattr(costs, name.replace("_gbps", "_mbps")) / 1000
    value = getattr(costs, name)
    if name in ("smt", "beyond_llc"):
        return round(value / WHOLE, 4)
    if name in ("turbo", "capacity"):
        return [round(share / WHOLE, 4) for share in value]
    return [list(pair) for pair in value] if name == "idle_exit" else value


def _assigned(name: str, value: Any) -> Iterator[str]:
    if not isinstance(value, list) or len(value) <= _A_LINE:
        yield f"{name} = {value}"
        return
    yield f"{name} = ["
    yield from (f"    {_joined(value[at : at + _A_LINE])}," for at in range(0, len(value), _A_LINE))
    yield "]"


def _joined(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values))


def _quoted(text: str) -> str:
    # A string of JSON is one of TOML, but for this one character.
    return json.dumps(text).replace("\x7f", "\\u007f")

# SPDX-License-Identifier: Apache-2.0
"""A machine's descriptor read from the .toml file that describes one, which anybody may have written."""

from __future__ import annotations

import re
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks.machine_faults import faults
from benchmarks.machine_fields import Described, Priced
from benchmarks.machine_odd import oddities
from benchmarks.toml_file import read_toml, validated
from policy_lake.errors import InputError
from policy_lake.limits import CPUS, LLCS, NODES, SMT
from policy_lake.machine_model import WHOLE, Costs, MachineModel
from policy_lake.show import for_terminal, logger, shortened
from policy_lake.topology import Topology

_QUOTED = re.compile(r"'(\w+)'")
ID = re.compile(r"[a-z][a-z0-9-]{0,63}")
log = logger(__name__)


def read_machine(path: Path) -> MachineModel:
    """The machine that the TOML file at `path` describes; InputError names the file and the field that is wrong.

    What can be and is odd is one warning in a process, and read all the same.
    """
    data = read_toml(path)
    described = validated(path, data, Described)
    if not ID.fullmatch(described.name):
        shown, rule = for_terminal(described.name[:80]), "a lowercase letter, and up to 63 of these, digits and dashes"
        raise InputError(f"{path}: field 'name': '{shown}' is not {rule}")
    for limit in (CPUS, LLCS, SMT, NODES):
        count = getattr(described.topology, limit.name)
        if not limit.low <= count <= limit.high:
            shown = shortened(count, 40)
            raise InputError(f"{path}: field 'topology.{limit.name}': {shown} is not from {limit.span}")
    try:
        topology = Topology(**{one.name: getattr(described.topology, one.name) for one in fields(Topology)})
    except InputError as error:
        raise InputError(f"{path}: field 'topology': {error}") from None
    for name, wrong in faults(described, given_numbers(data)):
        also = _QUOTED.sub(lambda match: f"'{_in_table(match[1])}'", wrong)
        raise InputError(f"{path}: field '{for_terminal(_in_table(name))}': {for_terminal(also)}")
    model = MachineModel(described.name, topology, costs_of(described.costs), described.title, dict(described.sources))
    if odd := [f"field '{field}': {what}" for field, what in oddities(model)]:
        more = f"; and {len(odd) - 1} more (`schedcp machines show`)" if len(odd) > 1 else ""
        _say_once(f"{path}: odd: {odd[0]}{more}")
    return model


@lru_cache
def _say_once(line: str) -> None:
    log.warning("%s", line)


def _in_table(name: str) -> str:
    """The field as it is found in the file: `costs.user_ps`."""
    return f"costs.{name}" if name.partition(".")[0] in {one.name for one in fields(Priced)} else name


def given_numbers(data: dict[str, Any]) -> tuple[str, ...]:
    """The names of the numbers that a file gives, as its sources name them: how the CPUs lie has one source."""
    return ("topology", *data.get("costs", {}))


def costs_of(priced: Priced) -> Costs:
    """The costs in the model's units: MB/s, and 1024ths of full speed."""
    changes: dict[str, Any] = {}
    for one in fields(Priced):
        value = getattr(priced, one.name)
        if value is None:
            continue
        if one.name.endswith("_gbps"):
            changes[one.name.replace("_gbps", "_mbps")] = round(value * 1000)
        elif one.name in ("smt", "beyond_llc"):
            changes[one.name] = round(value * WHOLE)
        elif one.name in ("turbo", "capacity"):
            changes[one.name] = tuple(round(share * WHOLE) for share in value)
        else:
            changes[one.name] = value
    return Costs(**changes)

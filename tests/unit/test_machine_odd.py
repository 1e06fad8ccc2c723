# SPDX-License-Identifier: Apache-2.0
"""A machine that can be and hardly is: read, with one warning; a slip of a unit is never taken in silence."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from contract_cases import contract
from machine_cases import MINE, write
from typer.testing import CliRunner

from benchmarks import machine_file
from benchmarks.machine_file import read_machine
from benchmarks.machine_odd import oddities
from benchmarks.machines import machine, machine_files
from control_plane import cli
from policy_lake.errors import InputError
from policy_lake.machine_model import MachineModel
from policy_lake.topology import Topology
from tasks.host.topology import HostTopology
from tasks.machine.measure import machine_of
from tasks.machine.numbers import Number

CASES = [
    ("user_ps = 120", "user_ps = 2001", "user_ps"),
    ("kernel_ps = 600", "kernel_ps = 59", "kernel_ps"),
    ("kernel_ps = 600", "kernel_ps = 2401", "kernel_ps"),
    ("switch_ns = 300", "switch_ns = 20001", "switch_ns"),
    ("l2_kib = 512", "l2_kib = 127", "l2_kib"),
    ("llc_kib = 16384", "llc_kib = 1048577", "llc_kib"),
    ("[1, 1000]", "[1, 19]", "idle_exit.0"),
    ("llc_gbps = 40.0", "llc_gbps = 501.0", "llc_gbps"),
    ("memory_gbps = 6.5", "memory_gbps = 40.0", "memory_gbps"),
    ("remote_gbps = 3.25", "remote_gbps = 6.5", "remote_gbps"),
    ("remote_gbps = 3.25", "remote_gbps = 0.199", "remote_gbps"),
    ("node_gbps = 44.0", "node_gbps = 5001.0", "node_gbps"),
    ("smt = 0.625", "smt = 0.45", "smt"),
    ("turbo = [1.0, 0.75]", "turbo = [1.0, 0.2]", "turbo.1"),
    ("1.0, 0.5, 0.5, 0.5, 0.5]", "1.0, 0.09, 0.09, 0.5, 0.5]", "capacity.12"),
    ("[1, 1000]", "[1, 1001]", "idle_exit.0"),
    ("[800, 22000]", "[8000, 1000001]", "idle_exit.1"),
    ("[800, 22000]", "[100001, 22000]", "idle_exit.1"),
    ("user_kib = 128", "user_kib = 16385", "user_kib"),
    ("kernel_kib = 32", "kernel_kib = 513", "kernel_kib"),
]


@pytest.fixture(autouse=True)
def unsaid() -> None:
    machine_file._say_once.cache_clear()


@pytest.mark.parametrize(("old", "new", "field"), CASES, ids=[new for _, new, _ in CASES])
def test_what_is_odd_is_read_with_one_warning_that_names_file_and_field(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, old: str, new: str, field: str
) -> None:
    assert MINE.count(old) == 1
    path = write(tmp_path, MINE.replace(old, new))
    assert field in [odd.removeprefix("costs.") for odd, _ in oddities(read_machine(path))]
    read_machine(path)
    assert len(caplog.messages) == 1 and caplog.messages[0].startswith(f"{path}: odd: field 'costs.")


def test_what_is_usual_is_not_said_to_be_odd(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    read_machine(write(tmp_path, MINE))
    assert [list(oddities(machine(name))) for name in machine_files()] == [[]] * len(machine_files())
    assert caplog.messages == []


def test_private_caches_that_are_far_more_than_the_llc_above_them_are_odd() -> None:
    def odd(cpus: int) -> list[str]:
        costs = replace(machine("laptop").costs, l2_kib=1024, llc_kib=2048, turbo=())
        return [field for field, _ in oddities(MachineModel("x", Topology(cpus), costs))]

    assert (odd(16), odd(17)) == ([], ["costs.l2_kib"])


def test_the_commands_show_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHEDCP_DATA_DIR", str(tmp_path / "data"))
    path = write(tmp_path, MINE.replace("switch_ns = 300", "switch_ns = 300000"))

    def run(*words: str) -> str:
        return CliRunner().invoke(cli.app, ["machines", *words], catch_exceptions=False, standalone_mode=False).stdout

    odd = "costs.switch_ns: 300000 ns, and CPUs have from 0 to 20000"
    assert f"  odd: {odd}\n" in run("show", str(path))
    assert contract(run("show", str(path), "--json"))["odd"] == [odd]
    assert "odd" not in run("show", "desktop")


def _numbers(data: dict[str, Any]) -> Iterator[tuple[dict[Any, Any] | list[Any], Any, str]]:
    """Each number of a descriptor: what holds it, under which key, and its name."""
    for table in ("topology", "costs"):
        waiting: list[tuple[Any, Any, str]] = [(data[table], key, f"{table}.{key}") for key in data[table]]
        for holder, key, name in waiting:
            if isinstance(holder[key], list):
                waiting += [(holder[key], at, f"{name}.{at}") for at in range(len(holder[key]))]
            else:
                yield holder, key, name


def _written(data: dict[str, Any]) -> str:
    lines = [f"{name} = {json.dumps(data[name])}" for name in ("name", "title")]
    for table in ("topology", "costs", "sources"):
        lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in data[table].items())]
    return "\n".join(lines)


@pytest.mark.parametrize("power", [6, 3, -3, -6])
@pytest.mark.parametrize("name", machine_files())
def test_a_slip_of_a_unit_is_refused_or_said_unless_it_makes_a_cost_nothing(
    tmp_path: Path, name: str, power: int
) -> None:
    """The rule for what may pass: a time that becomes 0 switches its term off, which is how a term is switched off."""
    data = tomllib.loads(machine_files()[name].read_text())
    for holder, key, field in list(_numbers(data)):
        before = holder[key]
        factor = 10 ** abs(power)
        holder[key] = before * factor if power > 0 else before // factor if isinstance(before, int) else before / factor
        passes = holder[key] == 0 and field.startswith(("costs.switch_ns", "costs.idle_exit"))
        try:
            said = bool(list(oddities(read_machine(write(tmp_path, _written(data))))))
        except InputError as error:
            said = "field '" in str(error)
        assert said or passes, (field, before, holder[key])
        holder[key] = before


@pytest.mark.parametrize(("user", "kernel"), [(20.0, 2500.0), (100_000.0, 20.0), (100_000.0, None), (None, 100_000.0)])
def test_what_is_measured_and_contradicts_itself_is_not_written(
    tmp_path: Path, user: float | None, kernel: float | None
) -> None:
    found = [
        Number(name, value or 0, value or 0, value or 0, 33, "ps", "" if value else "it fell")
        for name, value in (("user_ps", user), ("kernel_ps", kernel))
    ]
    costs = machine_of(HostTopology(Topology(2), (0, 1), 512, 16384), tuple(found), "mine", trusted=False)
    assert (costs.costs.user_ps, costs.costs.kernel_ps) == (91, 380)
    assert "not as measured" in costs.sources["user_ps"] and "default" in costs.sources["kernel_ps"]

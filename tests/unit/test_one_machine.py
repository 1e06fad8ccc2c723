# SPDX-License-Identifier: Apache-2.0
"""A machine is found once, where the request is made: workers on other hosts take that, whatever the name is there."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from machine_cases import MINE, sysfs, write
from trial_cases import guest_in

from benchmarks.scaled_machine import at
from bpf.build import PolicyObject
from policy_lake.machine_model import Costs, MachineModel
from policy_lake.model import from_json, to_json
from policy_lake.topology import Topology
from tasks.host import guest
from tasks.host.guest import Shape, shape_of, shape_on
from tasks.host.machine import find_machine, host_machine
from tasks.host.settings import Settings, load_settings
from tasks.trial import alone, failure, full
from tasks.trial.static import Checked
from verifier_vm.judge.case import parse_case
from verifier_vm.judge.suite import parts

PAIRS = [[n, n + 8] for n in range(8)]
LLCS = [[0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]]
CHECKED = Checked((), PolicyObject(b"object", "", 0.1), ())
CASE = parse_case("W6 seconds=1 cpus=4", "a test")
PART = next(i for i, part in enumerate(parts("full")) if (part.topology or Topology()).cpus > 2)


@pytest.fixture
def two_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Settings for a machine on the driver; `leave()` goes to a worker whose host, files and all, is another."""
    (tmp_path / "data").mkdir()
    write(tmp_path / "data", MINE, "machine.toml")
    here = sysfs(tmp_path / "here", PAIRS, LLCS, nodes=["0-3,8-11", "4-7,12-15"])
    there = sysfs(tmp_path / "there", [[0], [1]], [[0, 1]])
    now = SimpleNamespace(sys=here)

    def find(name: str, settings: Settings) -> MachineModel:
        return host_machine(settings, now.sys).model if name == "host" else find_machine(name, settings)

    def leave() -> None:
        now.sys = there
        (tmp_path / "data" / "machine.toml").unlink()
        (tmp_path / "mine.toml").unlink(missing_ok=True)

    monkeypatch.setattr(guest, "find_machine", find)
    asked: list[Shape] = []
    for module in (full, alone, failure):
        monkeypatch.setattr(module, "prepare_guest", lambda _, shape: asked.append(shape) or guest_in(tmp_path))
    for module in (full, alone):
        monkeypatch.setattr(module, "verify_part", lambda *_, **__: SimpleNamespace(verdict="yes"))
    made = {"host": "host", "file": str(write(tmp_path, MINE))}

    def settings(kind: str) -> Settings:
        return load_settings(machine=made[kind], data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")

    return SimpleNamespace(settings=settings, leave=leave, asked=asked)


def a_part(settings: Settings, shape: Shape) -> object:
    return full.do_part(
        pickle.loads(pickle.dumps(full.PartWork(PART, b"o", (), True, True, True, settings, shape, ())))
    )


def a_situation(settings: Settings, shape: Shape) -> object:
    return alone.Alone(CHECKED, settings, pickle.loads(pickle.dumps(shape)))(CASE)


@pytest.mark.parametrize("kind", ["host", "file"])
@pytest.mark.parametrize("do", [a_part, a_situation])
def test_a_worker_takes_the_machine_of_the_driver(
    two_hosts: Any, do: Callable[[Settings, Shape], object], kind: str
) -> None:
    settings = two_hosts.settings(kind)
    shape = shape_of(settings)
    whole = shape.whole
    assert whole is not None and whole.topology == Topology(16, 2, 2, 2) and whole.costs.switch_ns == 300
    two_hosts.leave()
    do(settings, shape)
    (asked,) = two_hosts.asked
    assert asked.topology != shape.topology and asked.costs == at(whole, asked.topology.cpus).model.costs
    assert asked.machine.startswith(f"{whole.name}, {asked.topology.cpus} of 16 CPUs")


def test_it_is_kept_with_a_run_and_no_result_hangs_on_it(two_hosts: Any) -> None:
    shape = shape_of(two_hosts.settings("host"))
    again = from_json(Shape, to_json(shape))
    assert again.whole == shape.whole and shape_on(again, Topology(8)).costs == shape_on(shape, Topology(8)).costs
    assert hash(shape) == hash(replace(shape, whole=None)) and replace(shape, whole=None) == shape


def test_without_a_machine_or_with_one_that_nobody_asked_for_other_guests_have_none() -> None:
    shape = Shape(Topology(4), "wall", cold=True, root="x", memory_mib=9, machine="host", costs=Costs(), said="so")
    assert shape_on(shape, Topology(8)) == Shape(Topology(8), "wall", cold=True)

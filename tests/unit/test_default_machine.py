# SPDX-License-Identifier: Apache-2.0
"""What a measured guest's CPUs are taken for when nobody says: this host's, with its costs if they were measured."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flow_cases import PROVENANCE, candidate, score
from machine_cases import MINE, sysfs, write
from trial_cases import BATCH, spec

from policy_lake.errors import InputError
from policy_lake.machine_model import FLAT
from policy_lake.topology import Topology
from tasks.host import default_machine as module
from tasks.host import guest
from tasks.host.default_machine import default_machine
from tasks.host.guest import Shape, shape_for, shape_of, shape_on
from tasks.host.settings import load_settings
from tasks.run.spent import spent_lines
from tasks.trial.build import provenance_of
from verifier_vm.machine.kernel import Kernel

PAIRS = [[n, n + 8] for n in range(8)]
LLCS = [[0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]]
NODES = ["0-3,8-11", "4-7,12-15"]


def settings(tmp_path: Path, **more: Any) -> Any:
    return load_settings(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache", **more)


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host of 16 CPUs: two nodes, an LLC each, two threads a core."""
    root = sysfs(tmp_path / "sys", PAIRS, LLCS, nodes=NODES)
    monkeypatch.setattr(module, "SYS", root)
    return root


@pytest.fixture
def measured(large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The same with costs of its own, under a clock that `measured.clock` names."""
    (tmp_path / "data").mkdir()
    write(tmp_path / "data", MINE, "machine.toml")
    found = SimpleNamespace(clock="virtual", asked=[])

    def prepare(_: Any, shape: Shape) -> Any:
        found.asked.append(shape)
        return SimpleNamespace(machine=SimpleNamespace(clock=found.clock))

    monkeypatch.setattr(guest, "prepare_guest", prepare)
    return found


@pytest.mark.parametrize(
    ("cpus", "topology"),
    [
        (1, Topology(1)), (2, Topology(2, smt=2)), (3, Topology(4, smt=2)), (8, Topology(8, smt=2)),
        (16, Topology(16, 2, 2, 2)), (24, Topology(24, 3, 2, 3)),
    ],
)  # fmt: skip
def test_a_guest_is_a_part_of_this_host_without_costs(
    large: Path, tmp_path: Path, cpus: int, topology: Topology
) -> None:
    shape = shape_for(settings(tmp_path), replace(BATCH, cpus=cpus))
    assert shape == Shape(topology) and (shape.costs, shape.machine) == (None, "")
    assert shape.said.startswith("this host's topology, no costs (")
    assert f"`schedcp machine measure -o {tmp_path}/data/machine.toml`" in shape.said
    assert "--machine NAME" in shape.said and "\n" not in shape.said
    assert ("3 cannot be spread evenly" in shape.said) == (cpus == 3)
    assert shape_for(settings(tmp_path, cpus=cpus), BATCH).topology == topology


def test_on_a_host_of_one_cache_it_is_the_guest_without_a_machine(tmp_path: Path) -> None:
    shape = shape_for(settings(tmp_path), replace(BATCH, cpus=6, root="kernel-source", memory_mib=700))
    assert shape == Shape(Topology(6), "auto", False, "kernel-source", 700) and shape.where == "6 CPUs"


def test_measured_costs_of_these_cpus_are_charged(measured: Any, tmp_path: Path) -> None:
    shape = shape_for(settings(tmp_path), replace(BATCH, cpus=8))
    assert shape.topology == Topology(8, smt=2) and shape.costs is not None and shape.costs.switch_ns == 300
    assert shape.machine == "host, 8 of 16 CPUs: 1 of 2 LLCs, 1 of 2 nodes"
    assert f"costs of {tmp_path}/data/machine.toml" in shape.said and "--machine flat" in shape.said
    assert shape_of(settings(tmp_path)).costs is None, "a verdict hangs on no file that happens to lie there"
    assert shape_on(shape_of(settings(tmp_path)), Topology(4)) == Shape(Topology(4))


@pytest.mark.parametrize(
    ("clock", "more", "root", "why"),
    [
        (None, {}, "", "the clock is the host's own"),
        ("virtual", {"cold": True}, "", "this guest boots"),
        ("virtual", {}, "kernel-source", "this guest boots"),
    ],
)
def test_where_costs_cannot_be_charged_the_topology_stays(
    measured: Any, tmp_path: Path, clock: str | None, more: dict[str, Any], root: str, why: str
) -> None:
    measured.clock = clock
    shape = shape_for(settings(tmp_path, **more), replace(BATCH, cpus=8, root=root))
    assert (shape.topology, shape.costs, shape.machine) == (Topology(8, smt=2), None, "")
    assert why in shape.said and "without the costs measured" in shape.said


def test_costs_of_other_cpus_are_not_this_host_s(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    path = write(tmp_path / "data", MINE, "machine.toml")
    found = default_machine(settings(tmp_path), 2)
    assert (found.topology, found.costs) == (Topology(2), None) and f"{path} is of another (16 CPUs" in found.said
    path.write_text("name = 3")
    with pytest.raises(InputError, match=str(path)):
        default_machine(settings(tmp_path), 2)


def test_without_a_sys_there_is_no_machine_and_that_is_said(tmp_path: Path) -> None:
    found = default_machine(settings(tmp_path), 3, tmp_path / "nowhere")
    assert (found.topology, found.costs, found.machine) == (Topology(3), None, "")
    assert found.said.startswith("none, since ") and "nowhere" in found.said and "--machine NAME" in found.said


@pytest.mark.parametrize("more", [{"machine": "flat"}, {"llcs": 1}, {"smt": 1}, {"nodes": 1}])
def test_whoever_asks_for_a_topology_or_for_none_gets_that(measured: Any, tmp_path: Path, more: dict[str, Any]) -> None:
    shape = shape_for(pickle.loads(pickle.dumps(settings(tmp_path, **more))), replace(BATCH, cpus=8))
    assert shape == Shape(Topology(8)) and not measured.asked
    assert shape.said == ("none (--machine flat)" if "machine" in more else "")


def test_flat_is_no_machine_of_any_topology(tmp_path: Path) -> None:
    shape = shape_of(settings(tmp_path, machine="flat", cpus=8, llcs=2, cold=True))
    assert shape == Shape(Topology(8, 2), cold=True)
    assert shape_on(shape_of(settings(tmp_path, machine="flat")), Topology(4, smt=2)) == Shape(Topology(4, smt=2))


def test_words_are_no_input_of_a_run() -> None:
    assert Shape(Topology(), said="a") == Shape(Topology(), said="b")
    assert hash(Shape(Topology(), said="a")) == hash(Shape(Topology()))


def test_a_score_says_what_its_cpus_were_taken_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = replace(PROVENANCE, taken_as="this host's topology, no costs")
    assert spent_lines(score(candidate("c"), provenance=taken)) == ["machine: this host's topology, no costs"]
    assert spent_lines(score(candidate("c"))) == []
    monkeypatch.setattr("tasks.trial.build.content_sha256", lambda _: "i")
    monkeypatch.setattr("tasks.trial.build.qemu_name", lambda: "10")
    machine = SimpleNamespace(clock=None, topology=Topology(), initrd=None, memory_mib=512)
    given = spec(tmp_path)
    given = replace(given, shape=replace(given.shape, said="so"))
    made: Any = SimpleNamespace(machine=machine, kernel=SimpleNamespace(sha256="k"))
    assert provenance_of(given, None, made).taken_as == "so"


def test_a_count_that_cannot_be_is_said_before_anything_runs(
    large: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shape_for(settings(tmp_path, cpus=3), BATCH)
    assert caplog.messages == ["--cpus 3: the guest has 4 CPUs, 2 threads a core"]
    caplog.clear()
    shape_of(settings(tmp_path, cpus=9, machine="server"))
    assert caplog.messages == ["--cpus 9: the guest has 10 of 64 CPUs: 2 of 8 LLCs, since 9 cannot be spread evenly"]
    caplog.clear()
    shape_for(settings(tmp_path, cpus=4), BATCH)
    shape_of(settings(tmp_path, machine="server"), 9)
    assert caplog.messages == [], "nobody asked for another count"


@pytest.mark.parametrize(
    ("shape", "accel", "cure"),
    [
        (Shape(Topology(), clock="wall"), "auto", "leave out --clock wall"),
        (Shape(Topology()), "kvm", "set SCHEDCP_ACCEL=tcg"),
        (Shape(Topology(), cold=True), "tcg", "leave out --cold"),
        (Shape(Topology(), root="kernel-source"), "tcg", "take another --size"),
    ],
)
def test_where_a_machine_cannot_be_charged_the_next_step_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: Shape, accel: str, cure: str
) -> None:
    for name in ("kernel", "initrd", "v.so"):
        (tmp_path / name).write_bytes(b"")
    kernel = Kernel("7.3.4", tmp_path / "kernel", tmp_path, "k" * 64, "btf")
    monkeypatch.setattr(guest, "installed_kernel", lambda *_: kernel)
    monkeypatch.setattr(guest, "build_image", lambda *_: tmp_path / "initrd")
    monkeypatch.setattr(guest, "_probe_object", lambda *_: b"")
    monkeypatch.setattr(guest, "with_root", lambda *_: tmp_path / "initrd")
    monkeypatch.setattr(guest, "usable_clock", lambda _: tmp_path / "v.so")
    asked = replace(shape, costs=FLAT, machine="desktop, 8 of 16 CPUs")
    with pytest.raises(InputError, match=rf"^--machine desktop: .*{cure}"):
        guest.prepare_guest(settings(tmp_path, accel=accel), asked)


@pytest.mark.parametrize("more", [{"llcs": 1}, {"smt": 1}, {"nodes": 1}, {"smt": 2}])
def test_with_a_machine_nobody_says_how_cpus_lie_also_not_as_they_do(more: dict[str, int]) -> None:
    (name, number), *_ = more.items()
    with pytest.raises(InputError, match=f"--{name} {number}: the machine 'desktop' says how its CPUs lie"):
        load_settings(machine="desktop", **more)
    assert load_settings(machine="flat", **more).machine == "flat"

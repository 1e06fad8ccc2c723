# SPDX-License-Identifier: Apache-2.0
"""The wall clock's A/A floor: from the lake where it holds one of the same work and guest, else measured and kept.

How one is measured, tests/vm/test_score.py shows; here is which one is taken.
"""

from dataclasses import replace
from pathlib import Path

import pytest
from score_cases import provenance

from benchmarks.workloads import at_size, descriptor_sha256, workload
from policy_lake.embed import embedder
from policy_lake.lake import Lake
from policy_lake.scores import Pair, Ratio, Score
from policy_lake.topology import Topology
from tasks.host.guest import Guest, Shape
from tasks.host.settings import Settings
from tasks.trial import floor
from verifier_vm.machine.kernel import Kernel
from verifier_vm.machine.qemu import Machine

BATCH = at_size(workload("batch"), "smoke")
SHAPE = Shape(Topology(2))
OF = provenance(workload_sha256=descriptor_sha256(BATCH), clock="")
KNOWN = Score(
    "a", "batch", "eevdf", "eevdf", {}, "makespan_ms", "ms", "wall", 2, (Pair(100.0, 100.0),) * 5,
    Ratio(1.0, (0.98, 1.03)), None, False, "inconclusive", kernel="7.3.4", accel="tcg", topology=str(Topology(2)),
    provenance=OF, tier="smoke",
)  # fmt: skip


@pytest.fixture(autouse=True)
def guest(monkeypatch):
    kernel = Kernel("7.3.4", Path("/k/bzImage"), Path("/k"), "sha", "btf")
    made = Guest(Machine(Path("/k/bzImage"), Path("/i/abc.cpio")), kernel)
    monkeypatch.setattr(floor, "prepare_guest", lambda settings, shape: made)
    return made


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake", embedder=embedder("hash:8"))


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path, embedder="hash:8")


def test_the_further_end_of_the_interval_of_the_latest_that_fits(lake, settings):
    lake.put(KNOWN, replace(KNOWN, id="b", ratio=Ratio(1.0, (0.9, 1.02))))
    assert floor.floor_for(BATCH, settings, SHAPE, lake) == pytest.approx(1 / 0.9)


@pytest.mark.parametrize(
    "changes",
    [
        {"clock": "virtual"}, {"topology": "4 CPUs"}, {"accel": "kvm"}, {"tier": "standard"}, {"kernel": "7.3.5"},
        {"provenance": provenance(workload_sha256="of another")}, {"provenance": None}, {"policy": "fifo"},
        {"workload": "schbench"}, {"candidate": "of the library's policy eevdf"},
    ],
)  # fmt: skip
def test_a_score_of_other_work_or_of_another_guest_is_none(lake, settings, changes, monkeypatch):
    monkeypatch.setattr(floor, "measure_floor", lambda *_: replace(KNOWN, id="new", ratio=Ratio(1.0, (1.0, 1.5))))
    lake.put(replace(KNOWN, **changes))
    assert floor.floor_for(BATCH, settings, SHAPE, lake) == 1.5


def test_in_virtual_time_there_is_none(lake, settings, monkeypatch, guest):
    virtual = replace(guest, machine=replace(guest.machine, clock=Path("/c/vclock-1.so")))
    monkeypatch.setattr(floor, "prepare_guest", lambda settings, shape: virtual)
    assert floor.floor_for(BATCH, settings, SHAPE, lake) is None


def test_it_is_measured_once(lake, settings, monkeypatch, caplog):
    asked, wide = [], replace(KNOWN, ratio=Ratio(1.0, (0.98, 1.5)))
    caplog.set_level("INFO", logger=floor.__name__)
    monkeypatch.setattr(floor, "measure_floor", lambda *args: asked.append(args) or wide)
    assert floor.floor_for(BATCH, settings, SHAPE, lake) == pytest.approx(1.5)
    assert floor.floor_for(BATCH, settings, SHAPE, lake) == pytest.approx(1.5)
    assert len(asked) == 1 and caplog.messages == ["floor: two equal runs of batch differ by up to 50.0 %"]

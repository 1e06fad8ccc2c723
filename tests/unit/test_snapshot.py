# SPDX-License-Identifier: Apache-2.0
"""Snapshots without a guest: what they are named after, what is noticed on them, which are kept."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from policy_lake.errors import InfraError
from policy_lake.guest import GuestJob, GuestStep
from policy_lake.topology import Topology
from verifier_vm.machine import snapshot, snapshot_files
from verifier_vm.machine.qemu import Machine
from verifier_vm.machine.snapshot import _key, origin_of, snapshot_key
from verifier_vm.machine.snapshot_files import STATE, TABLE, Table, copy_data, digest_of_data, holds, prune

MIB = 1 << 20


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine that is never started."""
    monkeypatch.setattr(snapshot, "qemu_version", lambda: (10, 0, 2))
    monkeypatch.setattr(snapshot_files, "_checked", {})
    for name in ("kernel", "initrd", "clock.so"):
        (tmp_path / name).write_text(name)
    return Machine(tmp_path / "kernel", tmp_path / "initrd", clock=tmp_path / "clock.so", snapshots=tmp_path / "kept")


def kept(place: Path, files: dict[str, bytes] | None = None) -> Path:
    """A snapshot as `_take` leaves it."""
    place.mkdir(parents=True)
    for name, data in (files or {"ram0": b"memory" * 999, STATE: b"devices" * 99}).items():
        (place / name).write_bytes(data)
    digests = {path.name: digest_of_data(path) for path in place.iterdir()}
    (place / TABLE).write_text(json.dumps({"switch_address": 4096, "steps": ["{}"], "files": digests}))
    return place


def test_the_same_machine_has_one_name_wherever_its_snapshots_lie(machine: Machine, tmp_path: Path) -> None:
    assert _key(machine) == _key(machine) == _key(replace(machine, snapshots=tmp_path / "elsewhere"))


@pytest.mark.parametrize(
    "change",
    [
        {"topology": Topology(4)}, {"topology": Topology(2, llcs=2)}, {"topology": Topology(2, smt=2)},
        {"topology": Topology(2, llcs=2, nodes=2)}, {"memory_mib": 300}, {"accel": "kvm", "clock": None},
        {"clock": None}, {"clock": Path("/another/clock2.so")},
    ],
    ids=str,
)  # fmt: skip
def test_another_machine_has_another_name(machine: Machine, change: dict[str, object]) -> None:
    assert _key(replace(machine, **change)) != _key(machine)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["kernel", "initrd"])
def test_another_kernel_or_image_at_the_same_path_has_another_name(machine: Machine, name: str) -> None:
    before, path = _key(machine), Path(getattr(machine, name))
    path.write_text("another")
    os.utime(path, ns=(1, 1))
    assert _key(machine) != before


def test_another_qemu_or_protocol_has_another_name(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    before = _key(machine)
    monkeypatch.setattr(snapshot, "qemu_version", lambda: (10, 0, 3))
    other_qemu = _key(machine)
    monkeypatch.setattr(snapshot, "PROTOCOL", snapshot.PROTOCOL + 1)
    assert len({before, other_qemu, _key(machine)}) == 3


def test_a_whole_snapshot_holds_and_is_hashed_once(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = kept(tmp_path / "kept" / "a")
    assert holds(place)
    monkeypatch.setattr(snapshot_files, "digest_of_data", lambda path: pytest.fail(f"{path} was hashed again"))
    assert holds(place)


def flip(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(777 % path.stat().st_size)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))


def flip_and_hide(path: Path) -> None:
    """… with its old time stamp: the change time, which nobody can set, is another."""
    stat = path.stat()
    flip(path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


DAMAGE = {
    "a bit of the memory": lambda place: flip(place / "ram0"),
    "a bit, its time put back": lambda place: flip_and_hide(place / "ram0"),
    "a bit of the devices": lambda place: flip(place / STATE),
    "devices cut short": lambda place: os.truncate(place / STATE, 100),
    "memory grown": lambda place: os.truncate(place / "ram0", MIB),
    "memory gone": lambda place: (place / "ram0").unlink(),
    "devices gone": lambda place: (place / STATE).unlink(),
    "table gone": lambda place: (place / TABLE).unlink(),
    "table empty": lambda place: (place / TABLE).write_text(""),
    "table is a list": lambda place: (place / TABLE).write_text("[]"),
    "table without files": lambda place: (place / TABLE).write_text('{"switch_address": 1, "steps": []}'),
    "table of no files": lambda place: (place / TABLE).write_text('{"switch_address": 1, "steps": [], "files": {}}'),
    "table without the address": lambda place: (place / TABLE).write_text(
        json.dumps({"steps": [], "files": json.loads((place / TABLE).read_text())["files"]})
    ),
    "table without the steps": lambda place: (place / TABLE).write_text(
        json.dumps({"switch_address": 1, "files": json.loads((place / TABLE).read_text())["files"]})
    ),
    "table is noise": lambda place: (place / TABLE).write_bytes(b"\xff\x00\xfe"),
    "a file is a directory": lambda place: ((place / "ram0").unlink(), (place / "ram0").mkdir()),
}


@pytest.mark.parametrize("seen_whole", [False, True], ids=["new", "known"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_noticed(machine: Machine, tmp_path: Path, damage: str, seen_whole: bool) -> None:
    place = kept(tmp_path / "kept" / "a")
    if seen_whole:
        assert holds(place)
    DAMAGE[damage](place)
    assert not holds(place)


def test_a_damaged_snapshot_is_taken_anew(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    def take(place: Path, _: object, **__: object) -> None:
        taken.append(place)
        for path in place.iterdir() if place.exists() else ():
            path.unlink()
        if place.exists():
            place.rmdir()
        kept(place)

    monkeypatch.setattr(snapshot, "_take", take)
    first = origin_of(machine)
    assert origin_of(machine) == first and len(taken) == 1
    assert first.switch_address == 4096 and first.incoming == taken[0] / STATE and first.memory.directory == taken[0]
    flip(taken[0] / "ram0")
    assert origin_of(machine) == first and len(taken) == 2


def test_a_machine_that_keeps_none_boots(machine: Machine) -> None:
    assert origin_of(replace(machine, snapshots=None)).incoming is None


def test_a_place_that_cannot_be_written_is_told_in_one_line(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InfraError, match="file") as error:
        origin_of(replace(machine, snapshots=tmp_path / "file"))
    assert "\n" not in str(error.value)


def test_a_missing_kernel_is_told_in_one_line(machine: Machine, tmp_path: Path) -> None:
    with pytest.raises(InfraError, match="none"):
        origin_of(replace(machine, kernel=tmp_path / "none"))


def sparse(path: Path, at: int, data: bytes, size: int = 8 * MIB) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(at)
        file.write(data)
    return path


def test_a_sparse_file_is_told_by_what_is_in_it_and_where(tmp_path: Path) -> None:
    data = os.urandom(4096)
    files = [
        sparse(tmp_path / "a", MIB, data), sparse(tmp_path / "moved", 2 * MIB, data),
        sparse(tmp_path / "larger", MIB, data, 9 * MIB), sparse(tmp_path / "other", MIB, bytes(4095) + b"x"),
        sparse(tmp_path / "empty", 0, b""), sparse(tmp_path / "none", 0, b"", 0),
    ]  # fmt: skip
    assert len({digest_of_data(path) for path in files}) == len(files)
    assert digest_of_data(sparse(tmp_path / "again", MIB, data)) == digest_of_data(files[0])


def test_a_large_hole_costs_nothing(tmp_path: Path) -> None:
    digest_of_data(sparse(tmp_path / "a", 1 << 39, b"end", 1 << 40))  # reading it would take minutes


def test_the_latest_used_are_kept_up_to_a_size_and_what_is_no_snapshot_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [kept(tmp_path / f"{number:02}", {"ram0": bytes(MIB), STATE: b"devices"}) for number in range(8)]
    monkeypatch.setattr(snapshot_files, "KEPT_BYTES", 5 * (MIB + 16384))
    order = [*places[5:], *places[:5]]
    for used, place in enumerate(order):
        os.utime(place / TABLE, ns=(0, used * 10**9))
    (tmp_path / "taking-x" / "made").mkdir(parents=True)
    prune(tmp_path, keep=order[0])  # the longest unused, but it was made just now
    assert {place for place in places if place.exists()} == {order[0], *order[4:]}
    assert (tmp_path / "taking-x" / "made").is_dir()


def test_a_warm_up_makes_another_snapshot_of_each_other_job(machine: Machine) -> None:
    def job(label: str, data: bytes = b"") -> GuestJob:
        return GuestJob({"f": data}, (GuestStep("run", ("batch",), label),), stays=True)

    chains = [(), (job("a"),), (job("b"),), (job("a", b"x"),), (job("a"), job("b")), (job("b"), job("a"))]
    assert len({snapshot_key(machine, chain) for chain in chains}) == len(chains)


def test_the_paths_of_the_files_make_no_difference(machine: Machine, tmp_path: Path) -> None:
    for name in ("kernel", "initrd", "clock.so"):
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        (tmp_path / "elsewhere" / name).write_text(name)
    there = {name: tmp_path / "elsewhere" / getattr(machine, name).name for name in ("kernel", "initrd", "clock")}
    assert _key(replace(machine, **there)) == _key(machine)  # type: ignore[arg-type]


def test_a_copy_of_a_sparse_file_has_the_same_data_and_holes(tmp_path: Path) -> None:
    source = sparse(tmp_path / "a", 3 * MIB, os.urandom(8192))
    copy_data(source, tmp_path / "copy")
    assert digest_of_data(tmp_path / "copy") == digest_of_data(source)
    assert (tmp_path / "copy").stat().st_blocks <= source.stat().st_blocks


def test_starting_from_a_snapshot_counts_as_its_use(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "_take", lambda place, _, **__: kept(place))
    place = origin_of(machine).memory.directory
    assert place
    os.utime(place / TABLE, ns=(0, 0))
    origin_of(machine)
    assert (place / TABLE).stat().st_mtime_ns > 0


def taking(*memories: bytes) -> Callable[[Path], Table]:
    """What makes a snapshot with the next of these memories each time."""
    left = list(memories)

    def take(made: Path) -> Table:
        (made / "ram0").write_bytes(left.pop(0))
        (made / STATE).write_bytes(os.urandom(8))
        return Table(1, (), {})

    return take


def test_equal_inputs_make_an_equal_guest_also_after_the_first_was_pruned(tmp_path: Path) -> None:
    place = tmp_path / "a"
    for _ in range(2):
        snapshot._take(place, taking(b"1"), exact=True)
        assert holds(place)
        shutil.rmtree(place)
    assert not list(tmp_path.glob("other-*"))


def test_another_guest_of_equal_inputs_is_taken_once_more_and_then_refused(tmp_path: Path) -> None:
    place = tmp_path / "a"
    snapshot._take(place, taking(b"1"), exact=True)
    snapshot._take(place, taking(b"2", b"1"), exact=True)  # the second time it is the same
    assert (place / "ram0").read_bytes() == b"1"
    with pytest.raises(InfraError, match=r"snapshot a: .* remove .*/a\.first$"):
        snapshot._take(place, taking(b"2", b"2"), exact=True)
    assert (tmp_path / "other-a/ram0").read_bytes() == b"2"
    assert (place / "ram0").read_bytes() == b"1", "what was there stays"
    (tmp_path / "a.first").unlink()
    snapshot._take(place, taking(b"2"), exact=True)
    assert (place / "ram0").read_bytes() == b"2"


@pytest.mark.parametrize("damaged", ['{"ram0": "', "null", "[" * 100_000])
def test_where_it_is_not_known_what_came_out_first_nothing_is_taken_for_the_same(tmp_path: Path, damaged: str) -> None:
    place, first = tmp_path / "a", tmp_path / "a.first"
    first.write_text(damaged)
    with pytest.raises(InfraError, match=r"remove .*/a\.first$"):
        snapshot._take(place, taking(b"1", b"1"), exact=True)
    assert first.read_text() == damaged and not place.exists()


def test_by_the_wall_clock_no_two_guests_are_equal(tmp_path: Path) -> None:
    for memory in (b"1", b"2"):
        snapshot._take(tmp_path / "a", taking(memory), exact=False)
        assert (tmp_path / "a/ram0").read_bytes() == memory
    assert not (tmp_path / "a.first").exists()


def test_what_came_out_first_counts_by_the_virtual_clock(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(snapshot, "_take", lambda place, _, *, exact: asked.append((kept(place), exact)))
    for each in machine, replace(machine, clock=None):
        origin_of(each)
    assert [exact for _, exact in asked] == [True, False]

# SPDX-License-Identifier: Apache-2.0
"""Which guest this host boots for a shape and the settings, and what the settings are when nobody says."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from trial_cases import BATCH

from policy_lake.errors import InfraError, InputError
from policy_lake.topology import Topology
from tasks.host import guest, root
from tasks.host.guest import Shape, prepare_guest, shape_for, shape_of
from tasks.host.settings import Settings, load_settings
from verifier_vm.machine.kernel import Kernel


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A host whose kernel, image and clock are there; `asked` are the accelerators and roots that were asked for."""
    for name in ("kernel", "initrd", "rooted", "v.so"):
        (tmp_path / name).write_bytes(name.encode())
    asked: list[Any] = []
    kernel = Kernel("7.3.4", tmp_path / "kernel", tmp_path, "k" * 64, "btf")

    def accelerator(machine: Any, cache_dir: Path) -> str:
        asked.append("accel")
        return here.accel

    def rooted(image: Path, name: str, cache_dir: Path) -> Path:
        asked.append(name)
        return tmp_path / "rooted"

    monkeypatch.setattr(guest, "installed_kernel", lambda *_: kernel)
    monkeypatch.setattr(guest, "build_image", lambda *_: tmp_path / "initrd")
    monkeypatch.setattr(guest, "_probe_object", lambda *_: b"")
    monkeypatch.setattr(guest, "usable_accel", accelerator)
    monkeypatch.setattr(guest, "with_root", rooted)
    monkeypatch.setattr(guest, "usable_clock", lambda _: tmp_path / "v.so")
    guest._prepare.cache_clear()
    here = SimpleNamespace(accel="kvm", asked=asked, path=tmp_path)
    yield here
    guest._prepare.cache_clear()


def settings(here: Any, **more: Any) -> Settings:
    return Settings(cache_dir=here.path / "cache", data_dir=here.path / "data", **more)


def test_under_kvm_time_is_the_host_s(here: Any) -> None:
    made = prepare_guest(settings(here, accel="auto"))
    assert (made.machine.accel, made.machine.clock, made.machine.snapshots) == ("kvm", None, None)
    assert here.asked == ["accel"] and made.warning == ""
    sure = prepare_guest(settings(here, accel="kvm"))
    assert sure.machine.accel == "kvm" and here.asked == ["accel"], "what is asked for is not probed"


def test_a_virtual_clock_is_asked_for_without_kvm(here: Any) -> None:
    made = prepare_guest(settings(here, accel="auto"), Shape(Topology(), clock="virtual"))
    assert (made.machine.accel, made.machine.clock_name, here.asked) == ("tcg", "virtual", [])
    with pytest.raises(InputError, match="--clock virtual"):
        prepare_guest(settings(here, accel="kvm"), Shape(Topology(), clock="virtual"))


def test_where_kvm_does_not_work_time_is_virtual(here: Any) -> None:
    here.accel = "tcg"
    made = prepare_guest(settings(here, accel="auto"))
    assert (made.machine.accel, made.machine.clock_name) == ("tcg", "virtual") and here.asked == ["accel"]
    plain = prepare_guest(settings(here, accel="tcg"))
    assert plain.machine.clock_name == "virtual" and here.asked == ["accel"]


def test_a_shape_with_a_root_gets_it_and_is_warned_of_without_kvm(here: Any, caplog: pytest.LogCaptureFixture) -> None:
    shape = Shape(Topology(), root="kernel-source", memory_mib=900)
    fast = prepare_guest(settings(here, accel="kvm"), shape)
    assert (fast.machine.initrd.name, fast.machine.memory_mib, fast.warning) == ("rooted", 900, "")
    slow = prepare_guest(settings(here, accel="tcg"), shape)
    assert slow.machine.initrd.name == "rooted" and slow.machine.snapshots is None and "emulated" in slow.warning
    assert slow.warning in caplog.text and here.asked == ["kernel-source"] * 2
    large = prepare_guest(settings(here, accel="tcg", memory_mib=2000), shape)
    assert large.machine.memory_mib == 2000
    plain = prepare_guest(settings(here, accel="tcg"))
    assert (plain.machine.initrd.name, plain.machine.memory_mib, plain.warning) == ("initrd", 512, "")
    assert plain.machine.snapshots == here.path / "cache" / "snapshots"


@pytest.mark.parametrize(("cpus", "accel", "clock", "told"), [
    (9, "tcg", "auto", 1), (64, "tcg", "virtual", 1), (8, "tcg", "auto", 0), (64, "tcg", "wall", 0),
    (64, "kvm", "auto", 0),
])  # fmt: skip
def test_a_guest_of_many_cpus_that_take_turns_is_announced_once(
    here: Any, caplog: pytest.LogCaptureFixture, cpus: int, accel: str, clock: Any, told: int
) -> None:
    guest._say_slow.cache_clear()
    made = prepare_guest(settings(here, accel=accel), Shape(Topology(cpus), clock=clock))
    assert "takes turns" not in caplog.text, "only who starts it says so"
    for _ in range(2):
        made.announce()
    assert caplog.text.count(f"a guest of {cpus} CPUs takes turns on one CPU of the host") == told


def test_the_directories_of_a_guest_are_made_and_held_first(here: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    claimed: list[Path] = []
    monkeypatch.setattr(guest, "claim", claimed.append)
    known = settings(here)
    for _ in range(2):  # also where the guest is there already
        prepare_guest(known)
    assert claimed == [known.cache_dir, known.data_dir] * 2


def test_a_guest_is_made_once_for_the_same_shape(here: Any) -> None:
    first = prepare_guest(settings(here))
    assert prepare_guest(settings(here)) is first and prepare_guest(settings(here), Shape(Topology(4))) is not first


def test_a_shape_is_the_settings_or_else_the_workload_s(here: Any) -> None:
    assert shape_of(settings(here)).topology == Topology(2) and shape_of(settings(here), 3).topology == Topology(3)
    asked = settings(here, cpus=8, llcs=2, smt=2, nodes=2, clock="wall", cold=True)
    assert shape_of(asked, 3) == Shape(Topology(8, 2, 2, 2), "wall", True)
    wanted = replace(BATCH, cpus=6, root="kernel-source", memory_mib=700)
    assert shape_for(settings(here), wanted) == Shape(Topology(6), "auto", False, "kernel-source", 700)


def test_a_probe_is_compiled_once_for_a_kernel(here: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    compiled: list[str] = []

    def compile_policy(source: str, *, name: str, vmlinux_dir: Path, source_dir: Path) -> Any:
        compiled.append(name)
        return SimpleNamespace(data=b"object")

    monkeypatch.setattr("bpf.build.compile_policy", compile_policy)
    kernel: Any = SimpleNamespace(sha256="a", headers=here.path)
    assert guest._probe_object(kernel, here.path) == guest._probe_object(kernel, here.path) == b"object"
    assert compiled == [guest.PROBE]
    kernel.sha256 = "b"
    guest._probe_object(kernel, here.path)
    assert len(compiled) == 2 and len(list((here.path / "probes").iterdir())) == 2
    assert {len(path.name) for path in (here.path / "probes").iterdir()} == {32 + len(".bpf.o")}
    assert guest.PROBE in guest._programs()


def test_a_root_is_archived_once_and_the_older_one_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, file = tmp_path / "image.cpio", tmp_path / "file"
    image.write_bytes(b"image")
    file.write_bytes(b"one")
    monkeypatch.setitem(root.ROOTS, "mine", lambda cache_dir: [("/file", file)])
    first = root.with_root(image, "mine", tmp_path)
    assert len(first.name) == len("mine-.cpio") + 32 and first.read_bytes().startswith(b"image")
    first.write_bytes(b"kept")
    assert root.with_root(image, "mine", tmp_path).read_bytes() == b"kept"
    file.write_bytes(b"another")
    assert root.with_root(image, "mine", tmp_path) != first and not first.exists()
    assert len(list((tmp_path / "images").iterdir())) == 1


def test_an_older_root_that_is_gone_meanwhile_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "image.cpio").write_bytes(b"image")
    monkeypatch.setitem(root.ROOTS, "mine", lambda cache_dir: [])
    monkeypatch.setattr(Path, "glob", lambda path, _: [path / "mine-of-another.cpio"])
    assert root.with_root(tmp_path / "image.cpio", "mine", tmp_path).is_file()


def test_what_a_root_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(root.ROOTS, "mine", lambda cache_dir: [("/file", tmp_path / "file")])
    with pytest.raises(InfraError, match=f"^{tmp_path}/file: No such file"):
        root.with_root(tmp_path / "image.cpio", "mine", tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InfraError, match=f"^{tmp_path}/image.cpio: No such file"):
        root.with_root(tmp_path / "image.cpio", "mine", tmp_path)


def test_the_kernel_s_source_lies_below_src(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(root, "toolchain_files", lambda: [("/usr/bin/cc", Path("/usr/bin/cc"))])
    monkeypatch.setattr(root, "source", lambda cache_dir: cache_dir / "linux")
    monkeypatch.setattr(root, "source_files", lambda tree: ["kernel/fork.c"])
    assert root.ROOTS["kernel-source"](tmp_path) == [
        ("/usr/bin/cc", Path("/usr/bin/cc")), ("/src/kernel/fork.c", tmp_path / "linux/kernel/fork.c"),
    ]  # fmt: skip


def test_what_nobody_says_is_this(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SCHEDCP_{name.upper()}", raising=False)
    known = load_settings()
    assert (known.accel, known.clock, known.tier, known.verify_tier, known.cold) == (
        "auto", "auto", "standard", "short", False,
    )  # fmt: skip
    assert (known.cpus, known.guest_deadline_s, known.trial_deadline_s) == (0, 180.0, 420.0)
    assert (known.build_deadline_s, known.cluster_deadline_s) == (60.0, 90.0)
    full = load_settings(tier="full")
    assert (full.guest_deadline_s, full.trial_deadline_s, full.build_deadline_s) == (1800.0, 4200.0, 60.0)
    assert load_settings(cpus=64).cpus == 64
    for cpus in (65, -1):
        with pytest.raises(InputError, match=r"^--cpus "):
            load_settings(cpus=cpus)


def test_each_folder_lies_where_it_is_said_or_under_the_data(tmp_path: Path) -> None:
    known = Settings(data_dir=tmp_path)
    assert (known.lake_dir, known.key_dir) == (tmp_path / "lake", tmp_path / "keys")
    other = Settings(data_dir=tmp_path, lake=Path("/l"), key_store=Path("/k"))
    assert (other.lake_dir, other.key_dir) == (Path("/l"), Path("/k"))


def test_an_absolute_folder_of_xdg_counts_and_a_wrong_variable_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for name in ("SCHEDCP_DATA_DIR", "SCHEDCP_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    known = load_settings()
    assert (known.data_dir, known.cache_dir) == (tmp_path / "xdg/schedcp", tmp_path / "home/.cache/schedcp")
    monkeypatch.setenv("SCHEDCP_CPUS", "many")
    with pytest.raises(InputError, match=r"^SCHEDCP_CPUS='many': not a whole number$"):
        load_settings()
    with pytest.raises(InputError, match=r"^--smt '0': less than 1$"):
        load_settings(smt=0, cpus=2)


def test_a_model_s_key_is_in_no_copy_that_leaves_and_in_no_dump(tmp_path: Path) -> None:
    known = Settings(data_dir=tmp_path, model_api_key="sesame")
    assert "model_api_key" not in known.model_dump() and "sesame" not in repr(known)
    assert pickle.loads(pickle.dumps(known)).model_api_key.get_secret_value() == ""
    with pytest.raises(ValueError, match="frozen"):
        known.cpus = 3  # type: ignore[misc]


def test_slots_are_at_least_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(5)))
    known = Settings(data_dir=tmp_path)
    assert [known.slots(cpus) for cpus in (1, 2, 5, 9)] == [5, 2, 1, 1]
    assert Settings(data_dir=tmp_path, microvm_slots=7).slots(1) == 7

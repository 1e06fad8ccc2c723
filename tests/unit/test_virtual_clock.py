# SPDX-License-Identifier: Apache-2.0
"""The virtual clock without a guest: the page it writes, what is refused, and what a refusal leads to."""

from __future__ import annotations

import mmap
import os
import re
import struct
import subprocess

import pytest

from policy_lake.errors import InfraError, InputError
from policy_lake.guest import ClockCounts
from policy_lake.machine_model import FLAT
from policy_lake.topology import Topology
from tasks.host import guest
from tasks.host.settings import Settings
from verifier_vm.machine import clock
from verifier_vm.machine.executed import BlockTable
from verifier_vm.machine.model import Model, ModelFile, TaskLayout

FIELDS = (
    "magic", "fallbacks", "virtual_ns", "hash", "slots", "switches", "switch_hash", "moves", "awaits_host", "error",
    "paid",
)  # fmt: skip


@pytest.fixture
def stats():
    page = clock.Stats()
    yield page
    page.close()


@pytest.fixture(autouse=True)
def nothing_remembered():
    clock.usable_clock.cache_clear()
    guest._prepare.cache_clear()
    yield
    clock.usable_clock.cache_clear()
    guest._prepare.cache_clear()


def write(stats, *numbers, error=b""):
    os.pwrite(stats.fileno(), struct.pack("=9Q128s", *numbers, 0, error), 0)


def test_the_page_is_read_as_the_clock_writes_it(stats):
    assert stats.read() == "QEMU did not load it"
    write(stats, 0, *[0] * 7, error=b"this QEMU does not export cpu_exit")
    assert stats.read() == "this QEMU does not export cpu_exit"
    write(stats, 0, *[0] * 7, error=b"\xff" * 128)
    assert isinstance(stats.read(), str)
    write(stats, clock._MAGIC, 1, 2_500_000_000, 0xABC, 4, 5, 2**64 - 1, 7)
    assert stats.read() == ClockCounts(1, 2.5, "0000000000000abc", 4, 5, "f" * 16, 7)
    write(stats, clock._MAGIC + 1, 1, 2, 3, 4, 5, 6, 7)
    assert isinstance(stats.read(), str)


def test_whether_the_guest_awaits_the_host_is_told(stats):
    write(stats, clock._MAGIC, *[1] * 7)
    assert not stats.awaits_host()
    os.pwrite(stats.fileno(), struct.pack("=Q", 1), 8 * FIELDS.index("awaits_host"))
    assert stats.awaits_host()


def test_the_page_is_laid_out_as_in_vclock_h(tmp_path):
    source, program = tmp_path / "layout.c", tmp_path / "layout"
    prints = "".join(f'printf("%zu ", offsetof(struct stats, {name}));' for name in FIELDS)
    source.write_text(
        '#include <stddef.h>\n#include <stdio.h>\n#include "vclock.h"\nint main(void) {'
        f'{prints} printf("%zu %llu", sizeof(struct stats), (unsigned long long)STATS_MAGIC); }}\n'
    )
    subprocess.run(["gcc", f"-I{clock.SOURCES}", "-o", program, source], check=True)
    *offsets, size, magic = map(int, subprocess.check_output([program]).split())
    assert offsets == [*(8 * place for place in range(10)), clock._STATS.size]
    assert size == clock._STATS.size + clock._PAID.size <= mmap.PAGESIZE
    assert magic == clock._MAGIC
    declared = re.search(r"struct stats \{(.*?)\n\};", (clock.SOURCES / "vclock.h").read_text(), re.S).group(1)
    assert re.findall(r"(\w+)(?:\[\d+\])?;", declared) == list(FIELDS), "a field that we do not read"


def test_the_plugin_is_told_its_rates(stats, tmp_path):
    option = clock.plugin_option(tmp_path / "v.so", stats)
    assert option == f"file={tmp_path}/v.so,stats={stats.fileno()},insn_ps=1000,pause_ps=1000000,quantum_ns=20000"
    rates = clock.Rates(insn_ps=500, pause_ps=7, quantum_ns=1)
    option = clock.plugin_option(tmp_path / "v.so", stats, rates, switch_address=0xFFFFFFFF81000000)
    assert option.endswith(",insn_ps=500,pause_ps=7,quantum_ns=1,switch=18446744071578845184")


def test_every_rate_is_one_that_the_plugin_knows(stats, tmp_path):
    known = set(re.findall(r'strcmp\(option, "(\w+)"\)', (clock.SOURCES / "plugin.c").read_text()))
    blocks = BlockTable()
    model = ModelFile(Model(FLAT, TaskLayout(1, 2)), Topology())
    option = clock.plugin_option(tmp_path / "v.so", stats, switch_address=1, blocks=blocks, model=model)
    blocks.close()
    model.close()
    assert {part.split("=")[0] for part in option.split(",")[1:]} == known


def fake_qemu(directory, monkeypatch, script, version="10.0.8"):
    """A `qemu-system-x86_64` that tells its version and then does what `script` says."""
    path = directory / "bin" / "qemu-system-x86_64"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "QEMU emulator version {version}" && exit 0\n{script}\n')
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")


REFUSALS = {
    "too old": ("exit 0", "8.2.1", r"8\.2\.1.*9\.1"),
    "no plugins": ("echo 'qemu: -plugin: invalid option' >&2; exit 1", "10.0.8", r"did not load it.*invalid option"),
    "does not load it": ("read line; exit 0", "10.0.8", "did not load it"),
    "dies": ("kill -SEGV $$", "10.0.8", "did not load it"),
    "hangs": ("exec sleep 60", "10.0.8", "hangs at the start"),
}


def no_library(cache):
    """A file that the dynamic loader only warns of."""
    cache.mkdir(exist_ok=True)
    (cache / "vclock.so").touch()
    return cache / "vclock.so"


@pytest.fixture(params=REFUSALS.values(), ids=REFUSALS.keys())
def refusing(request, tmp_path, monkeypatch):
    """A QEMU that has no virtual clock, and what is to be said of it."""
    script, version, says = request.param
    fake_qemu(tmp_path, monkeypatch, script, version)
    monkeypatch.setattr(clock, "PROBE_S", 0.5)
    monkeypatch.setattr(clock, "clock_object", no_library)
    return says


def test_a_qemu_without_a_virtual_clock_is_refused_in_one_line(refusing, tmp_path):
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with pytest.raises(InfraError, match=refusing) as refusal:
        clock.usable_clock(tmp_path)
    assert "\n" not in str(refusal.value)
    assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_refusal_is_not_remembered(tmp_path, monkeypatch):
    fake_qemu(tmp_path, monkeypatch, "exit 1")
    monkeypatch.setattr(clock, "clock_object", no_library)
    for _ in range(2):
        with pytest.raises(InfraError):
            clock.usable_clock(tmp_path)


def test_that_a_qemu_can_is_kept_for_it_and_its_clock(tmp_path, monkeypatch):
    probed = []
    monkeypatch.setattr(clock, "clock_object", no_library)
    monkeypatch.setattr(clock, "qemu_version", lambda: (10, 0, 8))
    monkeypatch.setattr(clock, "_probe", probed.append)
    for _ in range(2):  # two processes
        assert clock.usable_clock(tmp_path) == tmp_path / "vclock.so"
        clock.usable_clock.cache_clear()
    assert len(probed) == 1
    monkeypatch.setattr(clock, "qemu_version", lambda: (10, 0, 9))
    clock.usable_clock(tmp_path)
    (tmp_path / "usable.json").write_text("[")
    clock.usable_clock.cache_clear()
    clock.usable_clock(tmp_path)
    assert len(probed) == 3


@pytest.mark.parametrize("hangs", [1, 2])
def test_a_qemu_that_says_nothing_is_asked_once_more(tmp_path, monkeypatch, hangs):
    left = [None] * hangs

    def probe(path):
        if left:
            left.pop()
            raise subprocess.TimeoutExpired("qemu", 20)

    monkeypatch.setattr(clock, "clock_object", no_library)
    monkeypatch.setattr(clock, "qemu_version", lambda: (10, 0, 8))
    monkeypatch.setattr(clock, "_probe", probe)
    if hangs == 1:
        assert clock.usable_clock(tmp_path) == tmp_path / "vclock.so"
    else:
        with pytest.raises(InfraError, match="hangs at the start"):
            clock.usable_clock(tmp_path)
        assert not (tmp_path / "usable.json").exists()


def test_a_clock_that_does_not_compile_is_told_in_the_compilers_words(tmp_path, monkeypatch):
    (tmp_path / "vclock").mkdir()
    (tmp_path / "vclock" / "bad.c").write_text("int f(void) { return nothing; }\n")
    monkeypatch.setattr(clock, "SOURCES", tmp_path / "vclock")
    with pytest.raises(InfraError, match=r"cannot compile the virtual clock.*nothing"):
        clock.clock_object(tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*"))


def test_the_clock_is_compiled_once_for_each_version(tmp_path, monkeypatch):
    (tmp_path / "vclock").mkdir()
    (tmp_path / "vclock" / "a.c").write_text("int a;\n")
    monkeypatch.setattr(clock, "SOURCES", tmp_path / "vclock")
    first = clock.clock_object(tmp_path)
    made = first.stat().st_mtime_ns
    assert clock.clock_object(tmp_path) == first
    assert first.stat().st_mtime_ns == made
    (tmp_path / "vclock" / "a.h").write_text("int b;\n")
    assert clock.clock_object(tmp_path) != first


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Settings whose guest needs neither a kernel nor a compiler."""
    from verifier_vm.machine.kernel import Kernel

    for name in ("kernel", "initrd"):
        (tmp_path / name).write_bytes(name.encode())
    kernel = Kernel("6.19", tmp_path / "kernel", tmp_path, "0" * 64, "0" * 64)
    monkeypatch.setattr(guest, "installed_kernel", lambda *_: kernel)
    monkeypatch.setattr(guest, "build_image", lambda *_: tmp_path / "initrd")
    monkeypatch.setattr(guest, "_probe_object", lambda *_: b"")
    return Settings(cache_dir=tmp_path / "cache", accel="tcg")


def test_a_guest_falls_back_to_the_hosts_clock_and_says_so(refusing, settings, caplog):
    made = guest.prepare_guest(settings)
    assert (made.machine.clock, made.machine.snapshots, made.machine.clock_name) == (None, None, "wall")
    assert re.search(refusing, made.warning) and made.warning.endswith("times are taken by the wall clock")
    assert made.warning in caplog.text


def test_the_clock_is_virtual_under_tcg_and_the_hosts_where_that_is_asked_for(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(guest, "usable_clock", lambda _: tmp_path / "v.so")
    made = guest.prepare_guest(settings)
    assert (made.machine.clock, made.warning, made.host_cpus) == (tmp_path / "v.so", "", 1)
    assert made.machine.snapshots == settings.cache_dir / "snapshots"
    cold = guest.prepare_guest(settings, guest.Shape(Topology(), cold=True))
    assert (cold.machine.clock, cold.machine.snapshots) == (tmp_path / "v.so", None)
    wall = guest.prepare_guest(settings, guest.Shape(Topology(4), clock="wall"))
    assert (wall.machine.clock, wall.machine.snapshots, wall.warning, wall.host_cpus) == (None, None, "", 4)


def test_a_virtual_clock_under_kvm_is_refused(settings):
    kvm = settings.model_copy(update={"accel": "kvm"})
    with pytest.raises(InputError, match=r"--clock virtual.*KVM.*SCHEDCP_ACCEL=tcg") as refusal:
        guest.prepare_guest(kvm, guest.Shape(Topology(), clock="virtual"))
    assert "\n" not in str(refusal.value)
    made = guest.prepare_guest(kvm)
    assert (made.machine.clock_name, made.machine.accel, made.warning) == ("wall", "kvm", "")

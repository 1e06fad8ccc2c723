# SPDX-License-Identifier: Apache-2.0
"""The initramfs and the kernel image: what goes in comes out, and what is no kernel is told."""

from __future__ import annotations

import hashlib
import subprocess
import zlib
from pathlib import Path

import pytest

from policy_lake.errors import InfraError, InputError
from verifier_vm.machine.bzimage import release_of, vmlinux_of
from verifier_vm.machine.image import Program, build_image
from verifier_vm.machine.kernel import _btf_digest, prepare_kernel
from verifier_vm.machine.qemu import Machine, command_line

ELF = b"\x7fELF" + bytes(range(256)) * 40


@pytest.fixture
def only_given_programs(monkeypatch):
    monkeypatch.setattr(
        "verifier_vm.machine.image.OWN_PROGRAMS", {}
    )  # real guests are built from all of them in tests/vm


def test_an_image_holds_its_files_and_is_built_once(tmp_path, only_given_programs):
    (tmp_path / "a.c").write_text("int main(void) { return 0; }\n")
    programs = {"a": Program((tmp_path / "a.c",))}
    image = build_image(programs, {"lib/x.o": b"object"}, tmp_path)
    names = [data.split(b"\0")[0] for data in image.read_bytes().split(b"070701")[1:]]
    flat = b" ".join(names)
    for name in (b"init", b"job", b"bin/a", b"lib/x.o", b"TRAILER!!!"):
        assert name in flat
    before = image.stat().st_ino
    assert build_image(programs, {"lib/x.o": b"object"}, tmp_path) == image
    assert image.stat().st_ino == before  # touched, as the last that was used
    assert build_image(programs, {"lib/x.o": b"other"}, tmp_path) != image
    (tmp_path / "a.c").write_text("int main(void) { return 1; }\n")
    assert build_image(programs, {"lib/x.o": b"object"}, tmp_path) != image
    assert not [p for p in image.parent.iterdir() if p.is_dir()]


def test_a_program_that_does_not_compile_is_told_in_the_compilers_words(tmp_path, only_given_programs):
    (tmp_path / "b.c").write_text("int main(void) { return nothing; }\n")
    with pytest.raises(InfraError, match=r"'b'.*nothing"):
        build_image({"b": Program((tmp_path / "b.c",))}, {}, tmp_path)
    assert not (tmp_path / "images").exists()


@pytest.mark.parametrize("pack", ["zstd", "gzip", "plain"])
def test_a_kernel_is_unpacked_whatever_packed_it(pack, tmp_path):
    gzip = zlib.compressobj(wbits=31)
    packed = {
        "zstd": lambda: subprocess.run(["zstd", "-qc"], input=ELF, capture_output=True, check=True).stdout,
        "gzip": lambda: gzip.compress(ELF) + gzip.flush(),
        "plain": lambda: b"",
    }[pack]()
    image = ELF if pack == "plain" else b"MZ" + bytes(600) + packed + b"trailing setup data" * 9
    assert vmlinux_of(image, tmp_path / "k") == ELF


@pytest.mark.parametrize("image", [b"", b"text", b"MZ" + bytes(900), b"\x28\xb5\x2f\xfdbroken"])
def test_what_is_no_kernel_is_bad_input(image, tmp_path):
    with pytest.raises(InputError, match=r"k: no zstd"):
        vmlinux_of(image, tmp_path / "k")


def test_the_digest_of_a_kernels_types_is_that_of_its_section(tmp_path):
    (tmp_path / "btf").write_bytes(b"types")
    (tmp_path / "x.c").write_text("int x;")
    subprocess.run(["gcc", "-c", "x.c", "-o", "x.o"], cwd=tmp_path, check=True)
    add = ["objcopy", "--add-section", ".BTF=btf", "x.o", "vmlinux"]
    subprocess.run(add, cwd=tmp_path, check=True)
    assert _btf_digest((tmp_path / "vmlinux").read_bytes(), tmp_path) == hashlib.sha256(b"types").hexdigest()
    with pytest.raises(InputError, match=r"kernel k: built without BTF \(CONFIG_DEBUG_INFO_BTF\)"):
        _btf_digest((tmp_path / "x.o").read_bytes(), Path("k"))
    with pytest.raises(InputError, match="kernel k: the section table reaches beyond the end of the file"):
        _btf_digest((tmp_path / "vmlinux").read_bytes()[:200], Path("k"))


def test_a_kernel_without_types_or_sched_ext_is_bad_input_and_leaves_nothing(tmp_path):
    (tmp_path / "x.c").write_text("int x;")
    subprocess.run(["gcc", "-c", "x.c", "-o", "x.o"], cwd=tmp_path, check=True)
    with pytest.raises(InputError, match="built without BTF"):
        prepare_kernel(tmp_path / "x.o", tmp_path / "cache")
    assert list((tmp_path / "cache" / "kernels").iterdir()) == []


def test_a_release_is_read_from_the_setup_header():
    header = bytearray(0x400)
    header[0x20E:0x210] = (0x100).to_bytes(2, "little")
    header[0x300:0x310] = b"7.3.4+x (root@b)"
    assert release_of(bytes(header)) == "7.3.4+x"


def test_no_guest_has_a_disk_a_network_or_a_shared_folder(tmp_path):
    line = " ".join(command_line(Machine(tmp_path / "k", tmp_path / "i"), 7))
    for door in ("-drive", "-netdev", "-nic", "-fsdev", "-virtfs", "-hda"):
        assert door not in line
    assert "-nodefaults" in line and "--pdeathsig KILL" in line

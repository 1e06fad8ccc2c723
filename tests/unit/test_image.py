# SPDX-License-Identifier: Apache-2.0
"""The initramfs and the kernel image: what goes in comes out, and what is no kernel is told."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import lzma
import random
import shutil
import subprocess
from pathlib import Path

import pyarrow as pa
import pytest
from skipping import skip_or_fail

from policy_lake.errors import InfraError, InputError
from verifier_vm.machine.bzimage import LZ4_BLOCK, release_of, vmlinux_of
from verifier_vm.machine.image import Program, build_image
from verifier_vm.machine.kernel import _btf_digest, installed_kernel, prepare_kernel
from verifier_vm.machine.qemu import Machine, command_line

KNOWN = {"release": "7.3.4", "sha256": "00", "btf_sha256": "00"}
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


def bzimage(payload: bytes, *, version: int = 0x20F) -> bytes:
    """A boot sector and one setup sector, then the payload behind some code, and what follows it."""
    head = bytearray(1024)
    head[0x1F1], head[0x202:0x206], head[0x206:0x208] = 1, b"HdrS", version.to_bytes(2, "little")
    head[0x248:0x250] = (100).to_bytes(4, "little") + len(payload).to_bytes(4, "little")
    return bytes(head) + (b"\x1f\x8b code").ljust(100) + payload + b"trailing setup data" * 9


def packed_by(*command: str, size: bool = True) -> bytes:
    if not shutil.which(command[0]):
        skip_or_fail(f"{command[0]} is not installed")
    done = subprocess.run(command, input=ELF, capture_output=True, check=True).stdout
    return done + len(ELF).to_bytes(4, "little") if size else done


def lz4_raw(data: bytes) -> bytes:
    block = pa.Codec("lz4_raw").compress(data, asbytes=True)
    return len(block).to_bytes(4, "little") + block


PACKED = {
    "zstd": lambda: packed_by("zstd", "-qc"),
    "gzip": lambda: packed_by("gzip", "-nc", size=False),
    "xz": lambda: lzma.compress(ELF, check=lzma.CHECK_CRC32) + bytes(4),
    "lzma": lambda: lzma.compress(ELF, format=lzma.FORMAT_ALONE) + bytes(4),
    "bzip2": lambda: bz2.compress(ELF) + bytes(4),
    # The kernel's build calls `lz4 -l`.
    "lz4": lambda: b"\x02\x21\x4c\x18" + lz4_raw(ELF) + len(ELF).to_bytes(4, "little"),
}


@pytest.mark.parametrize("pack", PACKED)
def test_a_kernel_is_unpacked_whatever_packed_it(pack, tmp_path):
    assert vmlinux_of(bzimage(PACKED[pack]()), tmp_path / "k") == ELF


def test_a_kernel_of_many_lz4_blocks_and_a_plain_one_are_read(tmp_path):
    whole = ELF + random.Random(1).randbytes(1 << 20) * 20
    parts = (lz4_raw(whole[at : at + LZ4_BLOCK]) for at in range(0, len(whole), LZ4_BLOCK))
    image = bzimage(b"\x02\x21\x4c\x18" + b"".join(parts) + len(whole).to_bytes(4, "little"))
    assert vmlinux_of(image, tmp_path / "k") == whole
    assert vmlinux_of(ELF, tmp_path / "k") == ELF


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (b"", "it is no bzImage"),
        (b"text", "it is no bzImage"),
        (b"MZ" + bytes(900), "it is no bzImage"),
        (bzimage(b"\x1f\x8b", version=0x207), "it is no bzImage"),
        (bzimage(bytes(500))[:1200], "it is no bzImage"),  # cut short
        (bzimage(b"\x89LZO and more"), "packed with LZO, which is not read here"),
        (bzimage(b"new!"), "not known: its payload begins with 6e657721"),
        (bzimage(b"\x02\x21\x4c\x18" + b"\xff" * 40), "its lz4 payload is damaged: it says that it has 4294967295"),
        (bzimage(b"\x02\x21\x4c\x18" + bytes(40) + b"\xff\xff\xff\x0f"), "its lz4 payload is damaged"),
        (bzimage(b"\x02\x21\x4c\x18" + lz4_raw(ELF)[:-9] + b"\x00\x10\0\0"), "its lz4 payload"),
        (bzimage(b"\x28\xb5\x2f\xfdbroken"), "its zstd payload is damaged"),
        (bzimage(b"\x1f\x8bbroken"), "its gzip payload is damaged"),
        (bzimage(b"\xfd7zXZ\0broken"), "its xz payload is damaged"),
        (bzimage(gzip.compress(b"no ELF")), "its gzip payload holds no ELF"),
    ],
)
def test_what_is_no_kernel_or_cannot_be_read_is_bad_input_and_says_which(image, words, tmp_path):
    with pytest.raises(InputError, match=f"^kernel .*k: .*{words}") as caught:
        vmlinux_of(image, tmp_path / "k")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", range(0, 1300, 13))
def test_a_kernel_cut_anywhere_is_bad_input(length, tmp_path):
    whole = bzimage(PACKED["lz4"]())
    with pytest.raises(InputError):
        vmlinux_of(whole[:length], tmp_path / "k")


@pytest.mark.parametrize("noted", ["name", "path"])
def test_a_cache_copied_to_another_place_has_its_kernel(noted, tmp_path):
    home = tmp_path / "first place" / "kernels" / "0123"
    home.mkdir(parents=True)
    for name, text in (("vmlinux.h", ""), ("bzImage", ""), ("kernel.json", json.dumps(KNOWN))):
        (home / name).write_text(text)
    # "path" is what earlier versions wrote.
    current = {"directory": home.name if noted == "name" else str(home)}
    (home.parent / "current.json").write_text(json.dumps(current))
    shutil.move(tmp_path / "first place", tmp_path / "second")
    assert installed_kernel(tmp_path / "second").image == tmp_path / "second/kernels/0123/bzImage"


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

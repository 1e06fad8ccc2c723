# SPDX-License-Identifier: Apache-2.0
"""What else a guest's file system holds: a toolchain, a source, and the archive of both."""

import os

import pytest

from benchmarks import toolchain
from benchmarks.kernel_source import source_files
from policy_lake.errors import InfraError
from tasks.host import root
from verifier_vm.machine.cpio import tree_entries


def unpacked(data):
    """Name, mode and content of each entry of a "newc" archive, up to its trailer."""
    found, at = {}, 0
    while True:
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        mode, size, length = fields[1], fields[6], fields[11]
        name = data[at + 110 : at + 110 + length - 1].decode()
        start = at + (110 + length + 3) // 4 * 4
        if name == "TRAILER!!!":
            return found
        found[name] = (mode, data[start : start + size])
        at = start + (size + 3) // 4 * 4


def test_an_archive_has_directories_before_what_is_in_them_and_links_as_links(tmp_path):
    (tmp_path / "tool").write_bytes(b"#!")
    (tmp_path / "tool").chmod(0o755)
    (tmp_path / "alias").symlink_to("tool")
    names = {"/usr/bin/tool": "tool", "/usr/bin/alias": "alias", "/etc/x": "tool"}
    found = unpacked(b"".join(tree_entries((name, tmp_path / file) for name, file in names.items())))
    assert list(found) == ["etc", "etc/x", "usr", "usr/bin", "usr/bin/alias", "usr/bin/tool"]
    assert found["usr/bin/tool"] == (0o100755, b"#!")
    assert found["usr/bin/alias"] == (0o120777, b"tool")
    assert found["usr"] == (0o040755, b"")


def test_an_image_is_made_once_for_the_same_files_and_anew_for_others(tmp_path, monkeypatch):
    image, file = tmp_path / "image.cpio", tmp_path / "file"
    image.write_bytes(b"image")
    file.write_bytes(b"one")
    monkeypatch.setitem(root.ROOTS, "mine", lambda cache_dir: [("/file", file)])
    first = root.with_root(image, "mine", tmp_path)
    assert first.read_bytes().startswith(b"image0707010")
    made = first.stat().st_mtime_ns
    assert root.with_root(image, "mine", tmp_path) == first and first.stat().st_mtime_ns == made
    file.write_bytes(b"other")
    second = root.with_root(image, "mine", tmp_path)
    assert second != first and not first.exists()
    file.unlink()
    with pytest.raises(InfraError, match="file: No such file"):
        root.with_root(image, "mine", tmp_path)


def test_a_toolchain_is_whole_and_without_what_no_build_needs():
    files = dict(toolchain.toolchain_files())
    for needed in ("/bin/sh", "/usr/bin/awk", "/usr/bin/make", "/usr/bin/flex", "/usr/include/stdio.h"):
        assert needed in files
    assert any(name.endswith("/cc1") for name in files) and not any(name.endswith("/lto1") for name in files)
    assert sum(path.lstat().st_size for path in files.values()) < 200e6


def test_what_debian_13_lists_below_usr_is_found_where_programs_name_it(monkeypatch):
    """The loader, and what libc.so's script joins."""
    for needed in ("/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6"):
        assert needed in dict(toolchain.toolchain_files())
    listed = {"libc6": "/usr/lib/os-release\n/usr/share/doc", "gcc": "/usr/lib/os-release"}
    monkeypatch.setattr(toolchain, "_closure", lambda: set(listed))
    monkeypatch.setattr(toolchain, "_dpkg", lambda _, name: listed[name])
    names = [name for name, _ in toolchain.toolchain_files() if name.endswith("os-release")]
    assert sorted(names) == ["/lib/os-release", "/usr/lib/os-release", "/usr/lib/os-release"]


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setattr(toolchain, "PACKAGES", ("gcc", "no-such-package"))
    with pytest.raises(InfraError, match="needs no-such-package: run `apt-get install gcc no-such-package`"):
        list(toolchain.toolchain_files())


def test_a_host_without_dpkg_is_told(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InfraError, match="from Debian packages, and here is no dpkg"):
        list(toolchain.toolchain_files())


def test_of_a_source_what_tinyconfig_builds_and_nothing_that_a_build_has_left(tmp_path):
    kept = [
        "Kconfig",
        "kernel/fork.c",
        "fs/open.c",
        "fs/ramfs/inode.c",
        "drivers/gpu/Makefile",
        "sound/Kconfig.x",
        "include/linux/x.h",
    ]
    left = [
        ".config", "kernel/fork.o", "kernel/.fork.o.cmd", "include/generated/x.h", "sound/big.c", "fs/ext4/ext4.c",
        "scripts/kconfig/lexer.lex.c", "scripts/kconfig/.lexer.lex.c.cmd",
    ]  # fmt: skip
    for name in (*kept, *left):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert sorted(map(os.fspath, source_files(tmp_path))) == sorted(kept)

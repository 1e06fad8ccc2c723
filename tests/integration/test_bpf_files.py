# SPDX-License-Identifier: Apache-2.0
"""What lies where a compiler is to look, and how it may end: neither is always the policy's fault."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from bpf import build
from bpf.build import compile_policy
from policy_lake.errors import BuildError, InfraError, InputError


def crashing(monkeypatch: pytest.MonkeyPatch, *statuses: int) -> list[int]:
    """A clang that ends so, one after the other, and then as it really does."""
    left, compile_ = list(statuses), build._compile

    def compile_or_crash(*arguments: Any) -> Any:
        if left:
            return subprocess.CompletedProcess([], left.pop(0), b"", b"")
        return compile_(*arguments)

    monkeypatch.setattr(build, "_compile", compile_or_crash)
    return left


@pytest.mark.parametrize("status", [-signal.SIGXCPU, -signal.SIGSEGV, 139])
def test_a_crash_of_clang_is_the_source_s_when_it_comes_twice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int
) -> None:
    given = {"name": "x", "vmlinux_dir": tmp_path}
    (tmp_path / "vmlinux.h").write_text("")
    crashing(monkeypatch, status)
    assert compile_policy("int x;\n", **given).data.startswith(b"\x7fELF")
    assert crashing(monkeypatch, status, status) == [status, status]
    with pytest.raises(BuildError, match="each time it crashes clang"):
        compile_policy("int x;\n", **given)
    crashing(monkeypatch, status, -signal.SIGBUS)
    with pytest.raises(InfraError, match="clang ended with status"):
        compile_policy("int x;\n", **given)
    crashing(monkeypatch, -signal.SIGKILL, -signal.SIGKILL)
    with pytest.raises(InfraError, match="status -9"):
        compile_policy("int x;\n", **given)


def test_relative_directories_are_the_caller_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("vmlinux", "beside", "etc"):  # there is an /etc, which is not meant
        (tmp_path / name).mkdir()
    (tmp_path / "vmlinux" / "vmlinux.h").write_text("")
    (tmp_path / "beside" / "own.h").write_text("int x;\n")
    (tmp_path / "etc" / "shells").write_text("int y;\n")
    monkeypatch.chdir(tmp_path)
    source = '#include "own.h"\n#include <shells>\n'
    made = compile_policy(
        source, name="x", vmlinux_dir=Path("vmlinux"), source_dir=Path("beside"), include_dirs=[Path("etc")]
    )
    assert made.data.startswith(b"\x7fELF")


def test_what_is_no_file_is_no_header(tmp_path: Path) -> None:
    for name in ("vmlinux", "inner"):
        (tmp_path / name).mkdir()
    (tmp_path / "vmlinux" / "vmlinux.h").write_text("")
    os.mkfifo(tmp_path / "inner" / "pipe.h")
    (tmp_path / "inner" / "good.h").write_text("int x;\n")
    for where in ({"source_dir": tmp_path / "inner"}, {"include_dirs": [tmp_path / "inner"]}):
        given = {"name": "x", "vmlinux_dir": tmp_path / "vmlinux", **where}
        assert compile_policy('#include "good.h"\n', **given).data.startswith(b"\x7fELF")
        started = time.monotonic()
        with pytest.raises(InputError, match=r"inner/pipe\.h: a FIFO, where a header should be"):
            compile_policy('#include "pipe.h"\n', **given)
        assert time.monotonic() - started < 30
        with pytest.raises(BuildError, match=r"'x' does not compile"):  # it is missing, and no FIFO's fault
            compile_policy('#include "nopipe.h"\n', **given)


def test_the_whole_file_system_is_no_directory_of_headers(tmp_path: Path) -> None:
    (tmp_path / "vmlinux.h").write_text("")
    (tmp_path / "link").symlink_to("/")
    for root in (Path("/"), tmp_path / "link"):
        with pytest.raises(InputError, match="the whole file system"):
            compile_policy("int x;\n", name="x", vmlinux_dir=tmp_path, include_dirs=[root])
        with pytest.raises(InputError, match="a policy in /"):
            compile_policy("int x;\n", name="x", vmlinux_dir=tmp_path, source_dir=root)

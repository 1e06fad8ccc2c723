# SPDX-License-Identifier: Apache-2.0
"""What a program that we start finds in its environment: here one in the place of each compiler and tool."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import toolchain as packages
from bpf import toolchain
from control_plane import doctor
from policy_lake.errors import SchedcpError
from verifier_vm.machine import clock, image, kernel, qemu

KEYS = ("SCHEDCP_MODEL_API_KEY", "OPENAI_API_KEY", "another_api_key")


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Puts a program of that name before all others in PATH; it writes down its environment, and fails."""
    for key in KEYS:
        monkeypatch.setenv(key, "sesame")
    monkeypatch.setenv("SEEN", "everything else")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    said = tmp_path / "said"

    def stand_in(name: str) -> Path:
        (tmp_path / name).write_text(f"#!/bin/sh\nenv > {said}\nexit 1\n")
        (tmp_path / name).chmod(0o755)
        return said

    return stand_in


def compile_program(tmp_path: Path) -> None:
    image._compile("init", image.Program(sources=(tmp_path / "a.c",)), tmp_path)


CHILDREN = {
    "gcc": compile_program,
    "gcc of the clock": clock.clock_object,
    "bpftool": lambda tmp_path: kernel._call(["bpftool", "btf"], "bpftool"),
    "clang": lambda tmp_path: toolchain._version("clang"),
    "dpkg-query": lambda tmp_path: packages._dpkg("-W"),
    "qemu-system-x86_64": lambda tmp_path: qemu._version_of(str(tmp_path / "qemu-system-x86_64"), 0, 0),
    **{f"{command[0]} of doctor": lambda tmp_path, name=name, command=command: doctor._tool(name, command)
       for name, command in doctor.TOOLS.items()},
}  # fmt: skip


@pytest.mark.parametrize("child", CHILDREN)
def test_a_child_of_ours_finds_no_key(child, told, tmp_path):
    said = told(child.split()[0])
    with contextlib.suppress(SchedcpError):
        CHILDREN[child](tmp_path)
    assert "SEEN=everything else" in said.read_text() and "sesame" not in said.read_text()

# SPDX-License-Identifier: Apache-2.0
"""Every kernel function that an object calls has its type in the object, or libbpf would not load it."""

from __future__ import annotations

from pathlib import Path

import pytest
from corpus import POLICIES

from bpf.build import compile_policy
from bpf.externs import without_type

LIBRARY = Path(__file__).parents[2] / "bpf" / "library"
# `bpf_for` and `bpf_for_each` end with a function that nothing but a cleanup attribute calls.
LOOPS = (
    LIBRARY / "percpu.bpf.c",
    POLICIES / "good" / "plain_weight_table.bpf.c",
    POLICIES / "good" / "plain_hand_over.bpf.c",
)


@pytest.mark.parametrize("path", LOOPS, ids=lambda path: path.name)
def test_what_only_a_cleanup_calls_keeps_its_type(path):
    headers = sorted((Path.home() / ".cache/schedcp/kernels").glob("*/vmlinux.h"))
    if not headers:
        pytest.skip("no vmlinux.h on this machine: make setup")
    made = compile_policy(path.read_text(), name=path.name, vmlinux_dir=headers[0].parent, source_dir=path.parent)
    assert b"_destroy\0" in made.data
    assert without_type(made.data) == []


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"\x7fELF" + bytes(4000)])
def test_what_is_no_object_lacks_nothing(data):
    assert without_type(data) == []

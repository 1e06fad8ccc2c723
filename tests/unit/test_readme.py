# SPDX-License-Identifier: Apache-2.0
"""What the README shows must be so."""

from __future__ import annotations

import re
from pathlib import Path

from bpf.build import compile_policy
from bpf.library import read_policy

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_policy_shown_compiles_and_its_knob_is_read(tmp_path):
    source = re.search(r"```c\n(.*?)```", README, re.DOTALL)[1]
    # Enough of a vmlinux.h is only in the cache of a machine that was set up; a test of real guests uses that one.
    assert [knob.name for knob in read_policy(source, "mine", "user").knobs] == ["slice_ns"]
    headers = sorted((Path.home() / ".cache/schedcp/kernels").glob("*/vmlinux.h"))
    if headers:
        assert compile_policy(source, name="mine.bpf.c", vmlinux_dir=headers[0].parent).data[:4] == b"\x7fELF"


def test_every_folder_named_is_there():
    for folder in re.findall(r"^\| `(\w+)/` \|", README, re.MULTILINE):
        assert (ROOT / folder / "README.md").is_file() or folder == "tests", folder


def test_no_placeholder_is_left():
    assert "@@" not in README

# SPDX-License-Identifier: Apache-2.0
"""What the README shows must be so."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from bpf.build import compile_policy
from bpf.library import read_policy
from tasks.host.places import CACHE, SCRATCH
from verifier_vm.machine import image, snapshot_files

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_policy_shown_compiles_and_its_knob_is_read(tmp_path):
    source = re.search(r"```c\n(.*?)```", README, re.DOTALL)[1]
    # Enough of a vmlinux.h is only in the cache of a machine that was set up; a test of real guests uses that one.
    assert [knob.name for knob in read_policy(source, "mine", "user").knobs] == ["slice_ns"]
    headers = sorted((Path.home() / ".cache/schedcp/kernels").glob("*/vmlinux.h"))
    if headers:
        assert compile_policy(source, name="mine.bpf.c", vmlinux_dir=headers[0].parent).data[:4] == b"\x7fELF"


def test_every_folder_is_named_and_there():
    named = re.findall(r"^\| `(\w+)/` \|", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE)
    there = {path.parent.name for path in ROOT.glob("[a-z]*/README.md")}
    assert set(named) == there | {"tests"}


def test_no_placeholder_is_left():
    assert "@@" not in README


def test_the_nightly_run_is_deployed_to_the_server_that_make_ui_starts():
    """Followed to the letter: the port, the API's address, and no command that finds its server by chance."""
    (block,) = re.findall(r"```\n(make ui PORT=.*?)```", README, re.DOTALL)
    ui, export, *commands = block.splitlines()
    port = re.match(r"make ui PORT=(\d+)", ui)[1]
    assert export == f"export PREFECT_API_URL=http://127.0.0.1:{port}/api"
    assert all(command.startswith(".venv/bin/prefect ") for command in commands) and len(commands) == 3
    made = subprocess.run(["make", "-n", "ui", f"PORT={port}"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"prefect server start --host 127.0.0.1 --port {port}\n" in made.stdout
    comments = (ROOT / "prefect.yaml").read_text(encoding="utf-8")
    assert all(f"#   {line}\n" in comments for line in (export, *commands))


def test_every_place_that_it_names_is_one_that_clean_knows():
    for word, name in {"snapshots": "snapshots", "images": "images", "verdicts": "verdicts"}.items():
        assert word in README and name in CACHE
    assert f"/tmp/{SCRATCH}*" in README
    assert f"images (to {image.KEPT_BYTES >> 20} MiB)" in README
    assert f"snapshots (to {snapshot_files.KEPT_BYTES >> 30} GiB)" in README

# SPDX-License-Identifier: Apache-2.0
"""The wheel in an empty virtual environment: what the README says to do with it, by somebody without a checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INSTALL_S, RUN_S = 1800, 900


def call(*command: object, cwd: Path, timeout_s: float, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run it away from the checkout, with a PATH that has no virtual environment."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("SCHEDCP_", "PYTHON", "VIRTUAL_"))
    }
    env = {**kept, **{name: str(value) for name, value in settings.items()}}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """`schedcp` of a new environment, and a function that runs it with a cache and data of its own."""
    home = tmp_path_factory.mktemp("a stranger's home")
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", home, ROOT]
    made = call(*build, cwd=home, timeout_s=INSTALL_S)
    assert made.returncode == 0, made.stderr[-2000:]
    (wheel,) = home.glob("*.whl")
    assert call(sys.executable, "-m", "venv", home / "v", cwd=home, timeout_s=300).returncode == 0
    done = call(home / "v/bin/python", "-m", "pip", "install", "-q", wheel, cwd=home, timeout_s=INSTALL_S)
    assert done.returncode == 0, done.stderr[-2000:]

    def run(*args: object) -> subprocess.CompletedProcess[str]:
        places = {"SCHEDCP_CACHE_DIR": home / "cache", "SCHEDCP_DATA_DIR": home / "data"}
        return call(home / "v/bin/schedcp", *args, cwd=home, timeout_s=RUN_S, **places)

    return home, run


def test_set_up_and_tune_win_with_a_token_by_the_virtual_clock(installed):
    home, run = installed
    before = run("tune", "batch")
    assert before.returncode == 4 and "run `schedcp setup`" in before.stderr, before.stderr
    made = run("setup")
    assert made.returncode == 0, made.stderr[-2000:]
    done = run("tune", "batch", "--json")
    assert done.returncode == 0, done.stderr[-3000:]
    best = json.loads(done.stdout)["best"]
    assert best["clock"] == "virtual" and best["token"].startswith(str(home / "data/tokens"))


def test_it_brings_no_tests_or_linters_and_its_licenses(installed):
    home, _ = installed
    listed = call(home / "v/bin/python", "-m", "pip", "list", "--format", "json", cwd=home, timeout_s=60).stdout
    names = {package["name"].lower() for package in json.loads(listed)}
    assert "schedcp" in names and not names & {
        "pytest",
        "hypothesis",
        "mypy",
        "ruff",
        "import-linter",
        "cosmic-ray",
        "pdoc",
    }
    licenses = {
        path.name for path in home.glob("v/lib/*/site-packages/schedcp-*.dist-info/licenses/**/*") if path.is_file()
    }
    assert licenses == {"LICENSE", "Apache-2.0.txt", "GPL-2.0-only.txt", "GPL-2.0-or-later.txt"}


def test_doctor_finds_all_and_names_a_command_that_there_is(installed):
    _, run = installed
    assert run("doctor").returncode == 0
    assert run("--version").stdout.startswith("schedcp 0.")

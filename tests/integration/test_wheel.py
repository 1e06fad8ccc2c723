# SPDX-License-Identifier: Apache-2.0
"""The wheel: everything below `schedcp`, nothing at top level that anybody else may have, all that a run needs."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from setuptools import Distribution
from wheel_build import FOLDERS, MAKEFILE, SUFFIXES, WITHOUT, BuildPy, WheelError, below_face, shipped_files

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A directory with what a wheel has, as `pip` would unpack it."""
    command = BuildPy(Distribution({"name": "schedcp"}))
    command.build_lib, command.editable_mode = str(tmp_path_factory.mktemp("site-packages")), False
    left = Path(command.build_lib, "schedcp/tasks/removed_since.py")  # by an earlier build
    left.parent.mkdir(parents=True)
    left.touch()
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        command.run()
    finally:
        os.chdir(before)
    return Path(command.build_lib)


def run(installed: Path, *args: object) -> subprocess.CompletedProcess[str]:
    # Isolated from this checkout and from what is installed: the third-party packages alone, behind it.
    third = next(path for path in sys.path if path.endswith("site-packages"))
    start = f"import sys; sys.path[:0] = [{str(installed)!r}]; sys.path.append({third!r}); "
    command = [sys.executable, "-I", "-S", "-c", start + str(args[0]), *map(str, args[1:])]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd="/")


def test_only_schedcp_is_at_top_level(installed):
    assert [path.name for path in installed.iterdir()] == ["schedcp"]
    done = run(
        installed,
        f"import importlib.util as u; print([n for n in {FOLDERS} if u.find_spec(n)], u.find_spec('schedcp').origin)",
    )
    assert done.stdout.split() == ["[]", str(installed / "schedcp/__init__.py")], done


def test_no_module_in_it_imports_one_of_ours_from_top_level(installed):
    for path in installed.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                assert node.module.split(".")[0] not in FOLDERS, path
            if isinstance(node, ast.Import):
                assert not {alias.name.split(".")[0] for alias in node.names} & set(FOLDERS), path


def test_sources_headers_descriptors_traces_and_the_marker_of_types_are_in_it(installed):
    for name in (
        "verifier_vm/vclock/clock.c", "verifier_vm/guest/init.c", "bpf/library/fifo.bpf.c", "bpf/probes",
        "benchmarks/guest/batch.c", "benchmarks/workloads/batch.toml", "benchmarks/machines/desktop.toml",
        "benchmarks/machines/measure.c", "benchmarks/traces/kernel-build-j4.parquet",
        "tasks/authoring/authoring.md", "bpf/templates/slots.bpf.c",
        "control_plane/pages/templates/base.html", "control_plane/pages/templates/style.css",
        "py.typed", "__main__.py", "control_plane/packages.sh", "control_plane/say.sh",
    ):  # fmt: skip
        assert (installed / "schedcp" / name).exists(), name
    for name in (*WITHOUT, "tests", "tasks/removed_since.py"):
        assert not (installed / "schedcp" / name).exists(), name


def test_every_kind_of_file_in_the_folders_is_shipped_or_known_not_to_be():
    listed = subprocess.run(["git", "ls-files", *FOLDERS], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    kinds = {Path(name).suffix or Path(name).name for name in listed.split()}
    assert kinds <= {*SUFFIXES, MAKEFILE, ".md", ".typed"}


def test_its_commands_answer(installed):
    start = "from schedcp.__main__ import main; sys.argv[0] = 'schedcp'; main()"
    listed = run(installed, start, "policies", "--json")
    assert listed.returncode == 0 and '"id": "vtime"' in listed.stdout, listed.stderr
    shown = run(installed, start, "workloads", "show", "kernel-build")
    assert f"trace: {installed}/schedcp/benchmarks/" in shown.stdout, shown.stderr
    assert run(installed, start, "verify", "none.bpf.c").returncode == 2


def test_the_authoring_guide_is_found_in_it(installed):
    done = run(installed, "from schedcp.tasks.authoring.reading import guide; print(guide())")
    assert done.stdout.strip() == (ROOT / "docs/authoring.md").read_text().strip(), done.stderr


def test_the_command_that_mends_is_one_that_a_wheel_has(installed):
    """Wherever a message names one: there is no Makefile."""
    done = run(installed, "from schedcp.policy_lake.errors import SETUP; print(SETUP)")
    assert done.stdout.strip() == "schedcp setup", done.stderr
    for path in installed.rglob("*.py"):
        assert "make setup" not in path.read_text() or path.name == "errors.py", path


def test_the_processes_that_it_starts_are_its_own(installed):
    """The signer by its module's name, the parser by the packages above it: neither is called what it is here."""
    program = (
        "from schedcp.verifier_vm.tokens import client, verifying; "
        "from schedcp.verifier_vm.source.parser_process import *; "
        "from schedcp.bpf.library import policy; print(client.SIGNER, verifying.WORKER, client.ROOT); "
        "print(sorted(ask_parser({'source': policy('fifo').source, 'flags': []}, (), 30)))"
    )
    done = run(installed, program)
    here = run(ROOT, program.replace("schedcp.", ""))
    assert (
        done.stdout.splitlines()[0] == f"schedcp.verifier_vm.tokens.signer schedcp.tasks.tokens.worker {installed}"
    ), done.stderr
    assert done.stdout.splitlines()[1:] == here.stdout.splitlines()[1:] != [], here.stderr


@pytest.mark.parametrize(
    ("source", "moved"),
    [
        ("from tasks.verify import verify\n", "from schedcp.tasks.verify import verify\n"),
        ("import bpf\n", "from schedcp import bpf\n"),
        ("import os, sys\n", "import os, sys\n"),
        ("from tasksmith import x\n", "from tasksmith import x\n"),
        ("from . import tasks\n", "from . import tasks\n"),
        ("é = 'ü'; from flows import tune\n", "é = 'ü'; from schedcp.flows import tune\n"),
        ('"""from tasks.verify import verify"""\n', '"""from tasks.verify import verify"""\n'),
        ("x = 'from tasks import y'\n", "x = 'from tasks import y'\n"),
    ],
)
def test_imports_are_moved_and_nothing_else(source, moved):
    assert below_face(source, "x.py") == moved


@pytest.mark.parametrize(
    "source",
    ["import tasks.verify\n", "import bpf, os\n", "import bpf as b\n", "run(['-m', 'tasks.fleet.prefect_server'])\n"],
)
def test_what_cannot_be_moved_fails_the_build(source):
    with pytest.raises(WheelError, match=r"x\.py:1: "):
        below_face(source, "x.py")


def test_every_module_can_be_moved():
    assert sum(path.suffix == ".py" for path, _ in shipped_files(ROOT)) > 200

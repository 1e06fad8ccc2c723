# SPDX-License-Identifier: Apache-2.0
"""The command line as a process: exit statuses, one line of complaint, JSON, and what it must not import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from contract_cases import contract

ROOT = Path(__file__).parents[2]  # this tree, whatever is installed
SCHEDCP = Path(sys.executable).parent / "schedcp"


@pytest.fixture
def schedcp(tmp_path):
    def call(*args, **env):
        return subprocess.run(
            [SCHEDCP, *args], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), **env},
        )  # fmt: skip

    return call


def complaint(done, status):
    assert done.returncode == status, done
    assert done.stderr.startswith("schedcp: ") and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_help_names_every_command_and_imports_nothing_heavy(schedcp):
    done = schedcp("--help")
    assert done.returncode == 0
    for command in ("doctor", "tune", "verify", "score", "policies", "lake", "runs"):
        assert f"\n  {command} " in done.stdout
    heavy = "prefect ray lancedb dspy pydantic pyarrow numpy"
    code = f"import sys, control_plane.cli; sys.exit(' '.join(m for m in '{heavy}'.split() if m in sys.modules) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["tune nonsense", "score vtime -w nonsense", "score nonsense -w batch"])
def test_an_unknown_name_is_told_with_the_known_ones(schedcp, command):
    line = complaint(schedcp(*command.split()), 2)
    assert "nonsense" in line
    assert "vtime" in line or "batch" in line


def test_errors_come_as_json_too(schedcp):
    done = schedcp("score", "vtime", "-w", "nonsense", "--json")
    assert done.returncode == 2
    printed = contract(done.stdout)
    assert printed["exit_status"] == 2 and "nonsense" in printed["error"]


@pytest.mark.parametrize("args", ["score vtime -w batch --bogus", "bogus", "lake search", "tune"])
def test_a_command_line_that_is_none_is_one_line_and_json_too(schedcp, args):
    assert "--help`" in complaint(schedcp(*args.split()), 2)
    assert contract(schedcp(*args.split(), "--json").stdout)["exit_status"] == 2


def test_what_a_score_taken_again_takes_no_notice_of_is_refused(schedcp):
    line = complaint(schedcp("score", "rr", "--again", "c830", "-w", "wakeup", "--pairs", "5", "--json"), 2)
    assert "takes no POLICY, -w, --pairs" in line


def test_pictures_that_have_no_place_are_refused_before_anything_is_measured(schedcp):
    line = complaint(schedcp("score", "vtime", "-w", "batch", "--plots", "/etc/hostname"), 2)
    assert "--plots /etc/hostname" in line


def test_a_file_that_is_no_policy_is_bad_input(schedcp, tmp_path):
    assert "none.bpf.c" in complaint(schedcp("verify", "none.bpf.c"), 2)
    (tmp_path / "x.c").write_text("")
    assert "not a .bpf.c" in complaint(schedcp("verify", "x.c"), 2)
    (tmp_path / "y.bpf.c").write_bytes(b"\xff\xfe\x00")
    assert "UTF-8" in complaint(schedcp("verify", "y.bpf.c"), 2)
    (tmp_path / "z.bpf.c").write_text("int x;")
    assert "-I gone" in complaint(schedcp("verify", "z.bpf.c", "-I", "gone"), 2)


def test_a_missing_kernel_says_what_to_run(schedcp, tmp_path):
    (tmp_path / "z.bpf.c").write_text("int x;")
    empty = str(tmp_path / "cache")
    assert "make setup" in complaint(schedcp("verify", "z.bpf.c", XDG_CACHE_HOME=empty), 4)
    gone = complaint(schedcp("verify", "z.bpf.c", XDG_CACHE_HOME=empty, SCHEDCP_KERNEL="/gone/bzImage"), 2)
    assert "/gone/bzImage" in gone
    (tmp_path / "notes.txt").write_text("not a kernel")
    message = complaint(
        schedcp("verify", "z.bpf.c", XDG_CACHE_HOME=empty, SCHEDCP_KERNEL=str(tmp_path / "notes.txt")), 2
    )
    assert "notes.txt: it is no bzImage" in message


def test_a_wrong_setting_names_its_variable(schedcp):
    assert "SCHEDCP_CPUS" in complaint(schedcp("runs", SCHEDCP_CPUS="many"), 2)


def test_an_empty_lake_is_no_error(schedcp):
    done = schedcp("runs", "--json")
    assert (done.returncode, contract(done.stdout)) == (0, {"schema": "schedcp/runs/2", "runs": []})
    assert "nothing in the lake" in complaint(schedcp("lake", "show", "gone"), 2)


def test_policies_are_listed_with_their_knobs(schedcp):
    known = {policy["id"]: policy for policy in contract(schedcp("policies", "--json").stdout)["policies"]}
    assert set(known) >= {"fifo", "vtime", "ljf", "rr", "percpu"}
    assert {knob["name"] for knob in known["ljf"]["knobs"]} >= {"job_comm", "job_cpu_ns"}

# SPDX-License-Identifier: Apache-2.0
"""A user's own workloads: added, listed, found by id; and the settings that say how a workload is run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import workload_cases
from contract_cases import contract

from benchmarks.workloads import workload_ids
from policy_lake.errors import InputError
from tasks.host.settings import load_settings
from tasks.host.workloads import add_workload, find_workload, list_workloads

ROOT = Path(__file__).parents[2]
SCHEDCP = Path(sys.executable).parent / "schedcp"
MINE = workload_cases.MINE.replace("[work.all]", "runs_s = { smoke = 1.0, standard = 2.0 }\n[work.all]")


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("SCHEDCP_DATA_DIR", str(tmp_path / "data"))
    return load_settings


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "any-name.toml"
    path.write_text(MINE)
    return path


def test_an_added_workload_is_known_by_its_id(settings, mine):
    with pytest.raises(InputError, match="no workload 'mine'"):
        find_workload("mine", settings())
    added = add_workload(mine, settings())
    mine.unlink()
    assert find_workload("mine", settings()) == added
    assert Path(added.file) == settings().workload_dir / "mine.toml"
    listed_workloads, wrong = list_workloads(settings())
    assert [listed_one.id for listed_one in listed_workloads] == [*workload_ids(), "mine"] and wrong == ()
    with pytest.raises(InputError, match=r"no workload 'mien': known are .*, mine, or give"):
        find_workload("mien", settings())


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("m.toml", MINE.replace('"mine"', '"batch"'), "'batch' is a workload that comes with the project"),
        ("m.toml", MINE.replace("timeout_s = 5", ""), "field 'timeout_s'"),
        ("m.toml", "\0", "not valid TOML"),
        ("m.txt", MINE, "not one of the files that can be added: *.toml"),
        ("m", MINE, "not one of the files that can be added"),
    ],
)
def test_a_bad_file_adds_nothing(settings, tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as caught:
        add_workload(tmp_path / name, settings())
    assert str(tmp_path / name) in str(caught.value) and said in str(caught.value)
    assert not settings().workload_dir.exists()


def test_an_id_is_given_once(settings, mine):
    add_workload(mine, settings())
    before = (settings().workload_dir / "mine.toml").read_text()
    mine.write_text(MINE.replace("Be quick.", "Be slow."))
    with pytest.raises(InputError, match="there is a workload 'mine' already: choose another id, or remove "):
        add_workload(mine, settings())
    assert (settings().workload_dir / "mine.toml").read_text() == before


def test_a_trace_is_kept_beside_its_descriptor(settings, mine, tmp_path):
    replayed = MINE.replace('program = "batch"', 'program = "replay"\ntrace = "PLACE"')
    (tmp_path / "sub").mkdir()
    for place in ("make.trace", "sub/make.trace"):
        (tmp_path / place).write_bytes(b"recorded")
    mine.write_text(replayed.replace("PLACE", "sub/make.trace"))
    with pytest.raises(InputError, match="field 'trace': must lie beside"):
        add_workload(mine, settings())
    mine.write_text(replayed.replace("PLACE", "make.trace"))
    added = add_workload(mine, settings())
    assert Path(added.trace) == settings().workload_dir / "make.trace"
    assert Path(added.trace).read_bytes() == b"recorded"


def test_one_that_cannot_be_read_hides_no_other(settings, mine):
    add_workload(mine, settings())
    (settings().workload_dir / "zed.toml").write_text("id = ")
    (settings().workload_dir / "other.toml").write_text(MINE)
    listed_workloads, wrong = list_workloads(settings())
    assert "mine" in [listed_one.id for listed_one in listed_workloads]
    assert len(wrong) == 2 and "other.toml: field 'id': 'mine' in a file named other.toml" in wrong[0]
    assert "zed.toml: not valid TOML" in wrong[1]


def test_the_tier_is_a_setting(settings, mine, monkeypatch):
    assert find_workload("batch", settings()).tier == "standard"
    monkeypatch.setenv("SCHEDCP_TIER", "smoke")
    assert find_workload("batch", settings()).tier == "smoke"
    patience = settings().trial_deadline_s
    monkeypatch.setenv("SCHEDCP_TIER", "full")
    assert settings().trial_deadline_s == 10 * patience
    with pytest.raises(InputError, match="workload 'mine' has no tier 'full': it has smoke, standard"):
        find_workload(str(mine), settings())
    monkeypatch.setenv("SCHEDCP_TRIAL_DEADLINE_S", "5")
    assert settings().trial_deadline_s == 5
    monkeypatch.setenv("SCHEDCP_TIER", "huge")
    with pytest.raises(InputError, match="SCHEDCP_TIER='huge'"):
        settings()


def test_a_schbench_of_the_users_is_for_schbench_alone(settings, tmp_path, monkeypatch):
    (tmp_path / "main.c").write_text("int main(void) { return 0; }")
    subprocess.run(["gcc", "-static", "-o", tmp_path / "schbench", tmp_path / "main.c"], check=True)
    monkeypatch.setenv("SCHEDCP_SCHBENCH", str(tmp_path / "schbench"))
    assert find_workload("batch", settings()).binary is None
    listed_workloads = find_workload("schbench-paper", settings())
    assert listed_workloads.binary is not None and listed_workloads.binary.path == str(tmp_path / "schbench")
    monkeypatch.setenv("SCHEDCP_SCHBENCH", str(tmp_path / "main.c"))
    assert find_workload("batch", settings()).binary is None
    with pytest.raises(InputError, match=r"main\.c: not a 64-bit ELF file"):
        find_workload("schbench", settings())


def schedcp(tmp_path, *args, **env):
    return subprocess.run(
        [SCHEDCP, *args], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), **env},
    )  # fmt: skip


def test_the_command_adds_lists_and_shows(tmp_path, mine):
    done = schedcp(tmp_path, "workloads", "add", mine.name)
    assert done.returncode == 0 and "schedcp tune mine" in done.stdout, done.stderr
    listed = contract(schedcp(tmp_path, "workloads", "--json").stdout)["workloads"]
    assert [listed_one["id"] for listed_one in listed] == [*workload_ids(), "mine"]
    for listed_one in listed:
        assert {"family", "metric", "unit", "direction", "goal", "runs_s", "guards", "bound", "file"} <= set(listed_one)
    shown = contract(schedcp(tmp_path, "workloads", "show", "mine", "--json").stdout)
    assert shown == {"schema": "schedcp/workloads-show/1", **listed[-1], "footprints": []} and shown["tiers"] == [
        "smoke",
        "standard",
    ]
    text = schedcp(tmp_path, "workloads").stdout
    assert "guards: mean_end_ms, ms, lower is better, at most 1.5x worse" in text
    assert "one run: smoke 1 s, standard 2 s" in text
    assert "work.all: jobs=8" in schedcp(tmp_path, "workloads", "show", "mine").stdout


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("workloads", "show", "nope"), "no workload 'nope'"),
        (("workloads", "add", "nope.toml"), "nope.toml: cannot be read: No such file"),
        (("workloads", "add", "any-name"), "not one of the files that can be added"),
        (("score", "fifo", "-w", "batch", "--tier", "huge"), "--tier 'huge'"),
        (("score", "fifo", "-w", "any-name.toml", "--tier", "full"), "'mine' has no tier 'full'"),
        (("score", "fifo", "-w", "schbench", "--schbench", "gone"), "gone: cannot be read: No such file"),
        (("tune", "schbench", "--schbench", "any-name.toml"), "any-name.toml: not a 64-bit ELF file"),
    ],
)
def test_bad_input_is_one_line(tmp_path, mine, args, said):
    done = schedcp(tmp_path, *args)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert said in done.stderr


def test_a_file_that_went_bad_is_told_beside_the_others(tmp_path):
    folder = tmp_path / ".local/share/schedcp/workloads"
    folder.mkdir(parents=True)
    (folder / "zed.toml").write_text("id = ")
    done = schedcp(tmp_path, "workloads", "--json")
    assert done.returncode == 2 and "zed.toml: not valid TOML" in done.stderr
    assert [listed_one["id"] for listed_one in contract(done.stdout)["workloads"]] == list(workload_ids())

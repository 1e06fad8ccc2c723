# SPDX-License-Identifier: Apache-2.0
"""Numbers that a workload's program refuses are refused at once, by the program itself, with no guest."""

from __future__ import annotations

import os

import pytest

from benchmarks.workloads import asking, workload, workload_ids
from policy_lake.errors import InputError
from tasks.host import programs
from tasks.host.programs import check_numbers, workload_programs
from tasks.host.settings import load_settings
from tasks.host.workloads import find_workload


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize(
    ("id", "words", "complaint"),
    [
        ("batch", "jobs=1", "batch: --jobs must be a whole number from 2 to 4096, not '1'"),
        ("batch-git", "shuffle=2", "git: --shuffle must be a whole number from 0 to 1, not '2'"),
        ("wakeup", "sleepers=0", "wakeup: --sleepers must be"),
    ],
)
def test_a_number_beyond_the_program_s_limits(cache, id, words, complaint):
    settings = load_settings(cache_dir=cache, work=words)
    with pytest.raises(InputError) as error:
        find_workload(id, settings)
    assert str(error.value).startswith(f"workload '{id}': {complaint}")


@pytest.mark.parametrize("id", workload_ids())
def test_the_project_s_own_numbers_are_good_ones_and_nothing_runs(cache, id, monkeypatch):
    """Every program ends behind its options: none takes longer than it takes to read them."""
    monkeypatch.setattr(programs, "LIMIT_S", 5.0)
    described = workload(id)
    check_numbers(described, cache)
    assert described.program in workload_programs() or described.binary


def test_each_program_is_made_once(cache):
    check_numbers(asking(workload("batch"), "jobs=3"), cache)
    (made,) = (cache / "programs").glob("batch-*")
    before = made.stat().st_mtime_ns
    check_numbers(asking(workload("batch"), "jobs=4"), cache)
    assert made.stat().st_mtime_ns == before


def test_where_it_cannot_be_asked_the_guest_will_tell(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))  # no compiler
    check_numbers(asking(workload("batch"), "jobs=1"), tmp_path)


def test_it_is_asked_as_nobody(cache, monkeypatch):
    if os.geteuid() != 0:
        pytest.skip("only root has somebody else to be")
    seen = []
    run = programs.subprocess.run
    monkeypatch.setattr(
        programs.subprocess, "run", lambda command, **more: run([*command[:6], "/usr/bin/id", "-u"], **more)
        if not seen.append(command) else None,
    )  # fmt: skip
    check_numbers(asking(workload("batch"), "jobs=4"), cache)
    assert seen and seen[0][: len(programs.NOBODY)] == list(programs.NOBODY)

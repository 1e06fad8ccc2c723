# SPDX-License-Identifier: Apache-2.0
"""What a workload's program says of its options; scripts stand in for it, tests/integration asks the real ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.workloads import arguments, workload
from policy_lake.errors import InfraError, InputError
from tasks.host import programs
from tasks.host.programs import check_numbers, workload_programs

BATCH = workload("batch")
Answer = Callable[[str], str]


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Answer:
    """What becomes of a program that does this; empty where it is taken for good."""

    def complaint(script: str, described: Any = BATCH) -> str:
        binary = tmp_path / "program"
        binary.write_text(f"#!/bin/sh\n{script}\n")
        binary.chmod(0o755)
        monkeypatch.setattr(programs, "host_program", lambda name, program, cache: binary)
        try:
            check_numbers(described, tmp_path)
        except InputError as error:
            return str(error)
        return ""

    return complaint


def test_wrong_options_are_told_by_the_last_line_under_the_programs_name(says: Answer) -> None:
    assert (
        says('echo first >&2; echo "$0: --jobs must be 2" >&2; exit 2') == "workload 'batch': batch: --jobs must be 2"
    )
    assert says("printf '%0400d' 7 >&2; exit 2") == "workload 'batch': " + "0" * 300


@pytest.mark.parametrize("script", ["exit 0", "echo odd >&2; exit 1", "echo odd >&2; exit 3", "echo odd >&2", "exit 2",
                                    "echo ' ' >&2; exit 2", "echo out; exit 2", "kill -9 $$"])  # fmt: skip
def test_whatever_else_it_does_the_guest_will_tell(says: Answer, script: str) -> None:
    assert says(script) == ""


def test_it_is_asked_with_the_runs_own_options_and_nothing_of_this_process(says: Answer) -> None:
    said = says('echo "$SCHEDCP_CHECK_OPTIONS|$HOME|$PWD|$1" >&2; exit 2')
    assert said == f"workload 'batch': 1||/|{arguments(BATCH, seed=0, accel='tcg')[0]}"


def test_it_is_asked_as_nobody(says: Answer) -> None:
    asker = 65534 if os.geteuid() == 0 else os.geteuid()
    assert says("id -u >&2; exit 2") == f"workload 'batch': {asker}"


def test_one_that_does_not_end_is_not_waited_for(says: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 < programs.LIMIT_S < 60
    monkeypatch.setattr(programs, "LIMIT_S", 0.2)
    assert says("echo odd >&2; exec sleep 20") == ""


def test_a_users_own_program_and_one_that_is_none_of_ours_are_not_asked(says: Answer) -> None:
    wrong = "echo wrong >&2; exit 2"
    assert says(wrong) and not says(wrong, replace(BATCH, program="none"))
    assert not says(wrong, replace(BATCH, binary=True))


@pytest.mark.parametrize("error", [InfraError("no compiler"), OSError("disk full")])
def test_one_that_cannot_be_made_is_left_to_the_guest(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def host_program(*_: Any) -> Path:
        raise error

    monkeypatch.setattr(programs, "host_program", host_program)
    check_numbers(BATCH, tmp_path)


def test_every_program_that_a_workload_may_name_is_made_of_its_sources_with_threads_mathematics_and_zlib() -> None:
    made = workload_programs()
    assert BATCH.program in made
    assert all(one.sources and one.headers and set(one.libraries) == {"pthread", "m", "z"} for one in made.values())

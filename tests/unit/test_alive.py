# SPDX-License-Identifier: Apache-2.0
"""A run whose process has ended without a word is `killed`, and nothing else is."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from policy_lake.errors import InfraError
from policy_lake.records import Run
from policy_lake.tuned import RunError
from tasks.host.settings import Settings
from tasks.run.alive import LOCK, WHY, alive, is_dead, past_runs

RUN = Run("batch-1", "batch", "running", "2026-11-22T10:00:00Z")


class Kept:
    """As much of a lake as this needs; `meanwhile` is what a second look finds."""

    def __init__(self, *rows: Run, meanwhile: tuple[Run, ...] = (), full: bool = False) -> None:
        self.rows, self.meanwhile, self.full = list(rows), meanwhile, full

    def runs(self, workload: str = "") -> list[Run]:
        return list(self.meanwhile) if workload and self.meanwhile else list(self.rows)

    def put(self, run: Run) -> None:
        if self.full:
            raise InfraError("the disk is full")
        self.rows = [run if row.id == run.id else row for row in self.rows]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


def of(settings: Settings) -> Any:
    return SimpleNamespace(directory=settings.run_dir / RUN.id)


def statuses(lake: Kept, settings: Settings) -> list[str]:
    return [run.status for run in past_runs(lake, settings)]  # type: ignore[arg-type]


def test_it_runs_as_long_as_its_process_holds_the_lock(settings: Settings) -> None:
    lake = Kept(RUN)
    with alive(of(settings)):
        assert statuses(lake, settings) == ["running"]
    assert statuses(lake, settings) == ["killed"]
    assert lake.rows[0].status == "killed" and lake.rows[0].ended == "" and lake.rows[0].summary == RunError(WHY)


def test_a_run_is_dead_when_its_process_is_and_of_others_nothing_is_known(settings: Settings) -> None:
    with alive(of(settings)):
        assert not is_dead(RUN.id, settings)
    assert is_dead(RUN.id, settings)
    assert not any(is_dead(other, settings) for other in ("batch-2", "", "..", f"../runs/{RUN.id}", "a tag"))


def test_a_process_that_is_killed_lets_go_of_it(settings: Settings) -> None:
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom types import SimpleNamespace\n"
        "from tasks.run.alive import alive\n"
        "with alive(SimpleNamespace(directory=Path(sys.argv[1]))):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program, of(settings).directory], stdout=subprocess.PIPE)
    assert child.stdout and child.stdout.readline() == b"held\n"
    lake = Kept(RUN)
    assert statuses(lake, settings) == ["running"]
    child.kill()
    child.wait()
    child.stdout.close()
    assert statuses(lake, settings) == ["killed"]


def test_one_that_ended_well_since_its_row_was_read_did_end_well(settings: Settings) -> None:
    with alive(of(settings)):
        pass
    lake = Kept(RUN, meanwhile=(replace(RUN, status="done", best="ljf"),))
    assert statuses(lake, settings) == ["done"]
    assert lake.rows == [RUN]


@pytest.mark.parametrize("status", ["done", "failed", "cancelled", "killed"])
def test_what_has_ended_stays_as_it_ended(settings: Settings, status: Any) -> None:
    with alive(of(settings)):
        pass
    assert statuses(Kept(replace(RUN, status=status)), settings) == [status]


def test_stages_started_by_themselves_keep_no_lock_and_nothing_is_said_of_them(settings: Settings) -> None:
    assert statuses(Kept(RUN), settings) == ["running"]
    assert statuses(Kept(replace(RUN, id="../elsewhere")), settings) == ["running"]


def test_a_lake_that_takes_nothing_is_listed_all_the_same(settings: Settings) -> None:
    with alive(of(settings)):
        pass
    assert (of(settings).directory / LOCK).exists()
    assert statuses(Kept(RUN, full=True), settings) == ["killed"]


def test_where_no_lock_can_be_kept_the_run_goes_on_and_nothing_else_is_closed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.run_dir.mkdir(parents=True)
    of(settings).directory.touch()
    closed: list[int] = []
    with monkeypatch.context() as here:
        here.setattr(os, "close", closed.append)
        with alive(of(settings)):
            pass
    assert closed == [] and statuses(Kept(RUN), settings) == ["running"]


def test_its_lock_is_kept_in_a_directory_that_is_there_for_others_to_read(settings: Settings) -> None:
    of(settings).directory.mkdir(parents=True)
    before = os.umask(0o022)
    try:
        with alive(of(settings)):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((of(settings).directory / LOCK).stat().st_mode) == 0o644

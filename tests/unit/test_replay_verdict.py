# SPDX-License-Identifier: Apache-2.0
"""Whether a replay is near enough to its original, and the exit status that says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from trace_cases import parent_and_child

from benchmarks.replay_fidelity import CommandShare, Fidelity
from benchmarks.trace.file import write_trace
from control_plane import fidelity as command
from tasks.host.settings import Settings

QUIET = Fidelity("make", 2, 1000.0, 990.0, 1000.0, 900.0, (CommandShare("cc", 9, 9, 100, 100),), {}, (1, 1), 0.0)
BUSY = replace(QUIET, lost_share=0.5, quiet_ms=600.0)
OTHER = (CommandShare("cc", 9, 8, 100, 90), CommandShare("as", 0, 1, 0, 10))


@pytest.mark.parametrize(
    ("found", "verdict", "status", "told"),
    [
        (QUIET, "close", 0, "may be read from its replay"),
        (replace(QUIET, replay_ms=1049.0), "close", 0, ""),
        (replace(QUIET, replay_ms=1051.0), "apart", 1, "makespan is +5% off: trust no score"),
        (replace(QUIET, replay_ms=7450.0), "apart", 1, "+645% off"),
        (replace(QUIET, replay_ms=949.0), "apart", 1, "-5% off"),
        (replace(QUIET, shares=OTHER), "apart", 1, "the CPU time of cc is another"),
        (replace(QUIET, lost_share=0.05, replay_ms=800.0), "apart", 1, "-20% off"),
        (replace(BUSY, replay_ms=620.0), "close", 0, "others had 50% of its CPUs"),
        (replace(BUSY, replay_ms=800.0), "unknown", 4, "record it on a quieter host"),
        (replace(BUSY, replay_ms=1049.0), "unknown", 4, ""),
        (replace(BUSY, replay_ms=1051.0), "apart", 1, "+75% off"),
        (replace(BUSY, replay_ms=560.0), "apart", 1, "-7% off"),
        (replace(BUSY, quiet_ms=0.0, replay_ms=500.0), "unknown", 4, ""),
        (replace(BUSY, quiet_ms=0.0, replay_ms=1100.0), "apart", 1, "+10% off"),
        (replace(BUSY, shares=OTHER), "apart", 1, ""),
    ],
)
def test_the_verdict_and_its_exit_status(
    found: Fidelity, verdict: str, status: int, told: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], tmp_path: Path,
) -> None:  # fmt: skip
    assert (found.verdict, found.close) == (verdict, verdict == "close")
    write_trace(parent_and_child(), tmp_path / "a.parquet")
    monkeypatch.setattr(command, "replay", lambda trace, settings: replace(found, looks=3))
    given = Settings(data_dir=tmp_path, cache_dir=tmp_path)
    assert command.fidelity_command(tmp_path / "a.parquet", given, as_json=False) == status
    printed = capsys.readouterr().out
    assert told in printed and "3 of the recorded sleeps were looks" in printed
    assert command.fidelity_command(tmp_path / "a.parquet", given, as_json=True) == status
    assert f'"verdict": "{verdict}"' in capsys.readouterr().out

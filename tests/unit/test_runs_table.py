# SPDX-License-Identifier: Apache-2.0
"""`schedcp runs`: ids that can be copied, in whatever width."""

from __future__ import annotations

import pytest

from control_plane import lake
from policy_lake.records import Run

IDS = ("batch-20261126-200720-cfbb", "a-user's-workload-with-quite-a-long-name-20261126-192839-3111")


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_an_id_is_whole_and_on_one_line(monkeypatch, capsys, columns):
    runs = [Run(id, "batch", "done", "2026-11-26T20:07:20+00:00", best="ljf") for id in IDS]
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(lake, "_lake", lambda _: type("Lake", (), {"runs": lambda self: runs})())
    lake.runs_command(as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith(("batch-2026", "a-user"))] == list(IDS)
    assert columns < 120 or "ljf" in lines[1]

# SPDX-License-Identifier: Apache-2.0
"""`schedcp lessons`: what a rollout taught is told, too, though no kind of workload was found yet."""

from __future__ import annotations

import pytest

from control_plane.explain import lessons_command
from policy_lake.model import Lesson
from tasks.host.lake import open_lake
from tasks.host.settings import load_settings


def test_what_a_rollout_taught_is_told_and_an_empty_lake_says_what_to_do(
    tmp_path, monkeypatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("SCHEDCP_DATA_DIR", str(tmp_path))
    lessons_command("", as_json=False)
    assert capsys.readouterr().out.startswith("no lessons yet: ")
    open_lake(load_settings()).put(Lesson("rollout-1-end", "", "web", "fifo", "fifo was promoted on 3 hosts."))
    for workload in ("", "web"):
        lessons_command(workload, as_json=False)
        assert capsys.readouterr().out == "rollout-1-end: fifo was promoted on 3 hosts.\n"
    lessons_command("batch", as_json=False)
    assert capsys.readouterr().out.startswith("no lessons yet: ")

# SPDX-License-Identifier: Apache-2.0
"""The library face on real guests: results as values, and nothing of the caller's process touched."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import schedcp

from tasks.host.settings import load_settings

pytestmark = pytest.mark.vm
POLICIES = Path(__file__).parents[1] / "policies"


@pytest.fixture
def untouched(guest, capsys):
    """The process's environment and signal handlers, the same after as before, and nothing printed."""

    def state():
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "LANCEDB_"))}
        return ours, handlers

    before = state()
    yield
    assert state() == before
    assert capsys.readouterr() == ("", "")


def test_a_good_policy_is_accepted_and_a_bad_one_is_a_value(untouched, tmp_path, monkeypatch):
    settings = schedcp.Settings(data_dir=tmp_path, cache_dir=load_settings().cache_dir)
    monkeypatch.setenv("SCHEDCP_CPUS", "many")  # whoever reads the environment fails
    good = schedcp.verify(Path("bpf/library/fifo.bpf.c").absolute(), settings)
    assert good.accepted and good.rejections == () and Path(good.token or "").parent == tmp_path / "tokens"
    bad = schedcp.verify(next(POLICIES.glob("f01_*_fails.bpf.c")), settings)
    assert not bad.accepted and bad.token is None and bad.rejection == bad.rejections[0]
    monkeypatch.delenv("SCHEDCP_CPUS")


def test_a_score_is_a_value_and_lies_in_the_lake_of_these_settings(untouched, tmp_path):
    settings = schedcp.Settings(data_dir=tmp_path, cache_dir=load_settings().cache_dir, tier="smoke")
    score = schedcp.score("fifo", "schbench", settings, pairs=4, most_pairs=4, knobs={"slice_ns": 20_000_000})
    assert isinstance(score, schedcp.ScoreResult) and score.policy == "fifo" and len(score.pairs) == 4
    assert score.tier == "smoke" and (tmp_path / "lake").is_dir()

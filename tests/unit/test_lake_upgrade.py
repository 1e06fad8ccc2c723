# SPDX-License-Identifier: Apache-2.0
"""A lake of an earlier version, whose records called knob values `settings`, is read as one of this version.

tests/golden/lake-before-knob-values.jsonl is the journal that commit ae20ee8 wrote of a record of each of its kinds.
"""

from __future__ import annotations

import json
import shutil

import pytest
from contract_cases import contract

from control_plane import lake as commands
from policy_lake.embed import embedder
from policy_lake.lake import Lake
from policy_lake.model import from_json
from policy_lake.records import KINDS
from policy_lake.tuned import TuneResult
from policy_lake.upgrade import upgraded
from tasks.plan import candidate_id

KNOBS = {"slice_ns": 5_000_000, "job_comm": "long,short"}
OTHERS = {"slice_ns": 7}
IDS = ("ljf", "profile-1", "ljf-a66e932a1e74", "score-1", "lesson-1", "batch-1")


@pytest.fixture
def journal(request):
    return request.config.rootpath / "tests" / "golden" / "lake-before-knob-values.jsonl"


@pytest.fixture
def lake(tmp_path, journal):
    (tmp_path / "lake").mkdir()
    shutil.copy(journal, tmp_path / "lake" / "journal.jsonl")
    return Lake(tmp_path / "lake", embedder=embedder("hash:8"))


def test_every_record_is_read_with_its_knob_values(lake, journal):
    good, bad = lake.candidates("batch-1")
    (score,), (rejected,), (run,) = lake.scores("batch"), lake.rejections("batch"), lake.runs()
    assert (good.knob_values, bad.knob_values, score.knob_values) == (KNOBS, OTHERS, KNOBS)
    assert rejected.candidate == bad and lake.best("batch") == score
    assert [match.policy.id for match in lake.search_policies("one huge job", 1)] == ["ljf"]
    assert ([lesson.policy for lesson in lake.lessons()], len(lake.profiles())) == (["ljf"], 1)
    result = run.summary
    assert isinstance(result, TuneResult) and result.best is not None and result.best.knob_values == KNOBS
    assert [tried.knob_values for tried in result.iterations[0].candidates] == [KNOBS, OTHERS]
    assert (lake.path / "journal.jsonl").read_bytes() == journal.read_bytes(), "what was written stays as it is"


def test_a_candidate_s_id_is_what_this_version_would_give_it(lake):
    for candidate in lake.candidates("batch-1"):
        assert candidate_id(candidate.policy, candidate.source, candidate.knob_values) == candidate.id


def test_it_is_shown_in_the_words_of_this_version(lake, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SCHEDCP_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("SCHEDCP_EMBEDDER", "hash:8")
    kinds = set()
    for id in IDS:
        commands.show_command(id, as_json=True)
        shown = contract(capsys.readouterr().out)
        kinds |= {entry["kind"] for entry in shown["entries"]}
        assert '"settings"' not in json.dumps(shown)
    assert kinds == {*KINDS} - {"measurements", "rejections", "regressions", "rollouts", "calls"}
    commands.runs_command(as_json=True)
    (run,) = contract(capsys.readouterr().out)["runs"]
    assert run["summary"]["best"]["knob_values"] == KNOBS


def test_it_takes_new_records_beside_the_old(lake):
    for id in IDS:
        lake.put(*(from_json(KINDS[entry.kind], entry.data) for entry in lake.get(id)))
    assert [score.knob_values for score in lake.scores("batch")] == [KNOBS]
    assert Lake(lake.path, embedder=embedder("hash:8")).rebuild()["scores"] == 1


def test_a_record_of_this_version_stays_as_it_is(lake):
    entries = [entry for id in IDS for entry in lake.get(id)]
    assert [upgraded(entry.kind, entry.data) for entry in entries] == [entry.data for entry in entries]
    unfinished = {"id": "r", "workload": "w", "status": "killed", "started": "", "summary": {"error": "it went away"}}
    assert upgraded("runs", unfinished) == unfinished
    part = {**unfinished, "summary": {"run_id": "r", "error": "of another version"}}
    assert upgraded("runs", part) == {**unfinished, "summary": {}}

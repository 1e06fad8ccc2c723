# SPDX-License-Identifier: Apache-2.0
"""A job in its process: what is handed to the tasks, what goes back, and that nothing of it asks for a signature."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from control_plane.mcp import work
from control_plane.mcp.asked import ScoreAsked, TuneAsked, VerifyAsked
from control_plane.mcp.limits import CANDIDATES, RESULT_BYTES, TEXT_CHARACTERS
from policy_lake.doing import doing
from policy_lake.errors import InfraError, InputError
from policy_lake.lake import Lake
from policy_lake.model import Policy
from policy_lake.tuned import TunedCandidate, TunedIteration, TuneResult


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SCHEDCP_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def done(asked) -> list[dict]:
    """The lines that a job's process says."""
    stream = io.StringIO()
    try:
        work.work(asked.model_dump_json().encode(), work.Wire(stream))
    finally:
        done.said = [json.loads(line) for line in stream.getvalue().splitlines()]
    return done.said


def tried(reason: str, count: int = 1) -> TuneResult:
    one = TunedCandidate("c", "fifo", {}, "p", reason, None, None, None, None, reason)
    return TuneResult("r", "batch", (TunedIteration(1, (one,) * count),), None, count, 0, count, {"total": 1.0}, None)


def test_a_run_is_to_have_no_token_and_says_how_far_it_is(data, monkeypatch):
    runs = []

    def run_tune(run):
        doing("plan: %s", "one\x1b[2J of /root/x")
        runs.append(run)
        return tried("r")

    monkeypatch.setattr("flows.local.run_tune", run_tune)
    progress, result = done(TuneAsked(workload="batch", size="smoke", cpus=4, iterations=3, max_seconds=7))
    assert progress == {"event": "progress", "text": "plan: one\\x1b[2J of <path>"}
    assert result["event"] == "result" and result["result"]["run"] == "r" and not result["result"]["confirmed"]
    (run,) = runs
    assert (run.token, run.settings.tier, run.settings.cpus, run.iterations, run.budget.wall_s) == (
        False,
        "smoke",
        4,
        3,
        7,
    )
    assert not (data / "keys").exists()


def test_a_verification_asks_no_signer(data, monkeypatch):
    def ask_verifier(*_: object, **__: object) -> None:
        raise AssertionError("a signer is asked")

    def verify(path, settings, **given):
        assert path.name == "mine.bpf.c" and path.read_text() == "int x;" and given["options"].here
        raise InfraError(f"no kernel in {settings.cache_dir}")

    monkeypatch.setattr("tasks.tokens.issue.ask_verifier", ask_verifier)
    monkeypatch.setattr("tasks.verify.verify", verify)
    with pytest.raises(InfraError):
        done(VerifyAsked(source="int x;"))
    assert done.said == [{"event": "error", "exit_status": 4, "text": "no kernel in <path>"}]


def test_a_policy_of_the_lake_is_measured_by_its_source_and_one_of_the_library_by_its_id(data, monkeypatch):
    Lake(data / "lake").put(Policy("found", "t", "s", "g", "w", "int found;", origin="composed"))
    seen = []

    def scored(request, settings, lake):
        path = Path(request.policy)
        seen.append((path.name, path.read_text() if path.is_file() else "", request.pairs, request.most_pairs))
        raise InputError("enough")

    monkeypatch.setattr("control_plane.score.scored", scored)
    for asked in (
        ScoreAsked(workload="batch", policy="found"),
        ScoreAsked(workload="batch", policy="fifo", pairs=4, size="smoke"),
        ScoreAsked(workload="batch", source="int s;", name="s", most_pairs=9),
    ):
        with pytest.raises(InputError, match="enough"):
            done(asked)
    assert seen == [("found.bpf.c", "int found;", 5, 15), ("fifo", "", 4, 4), ("s.bpf.c", "int s;", 5, 9)]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (VerifyAsked(), "give one of `policy`"), (VerifyAsked(policy="fifo", source="x"), "give one of `policy`"),
        (VerifyAsked(policy="nowhere"), "there is no 'nowhere'"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_what_was_asked_is_said_in_one_line(data, asked, words):
    with pytest.raises(InputError):
        done(asked)
    (line,) = done.said
    assert (line["event"], line["exit_status"]) == ("error", 2) and words in line["text"]


def test_the_largest_result_of_a_run_fits_and_one_beyond_all_limits_is_said_to_be(data, monkeypatch):
    monkeypatch.setattr("flows.local.run_tune", lambda run: tried("r" * TEXT_CHARACTERS * 2, 2 * CANDIDATES))
    (line,) = done(TuneAsked(workload="batch"))
    assert line["event"] == "result" and len(line["result"]["tried"]) == CANDIDATES
    monkeypatch.setattr(work, "RESULT_BYTES", 1000)
    with pytest.raises(InfraError, match="more than 1000"):
        done(TuneAsked(workload="batch"))
    assert len(json.dumps(line)) < RESULT_BYTES

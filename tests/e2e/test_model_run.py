# SPDX-License-Identifier: Apache-2.0
"""A whole run driven by a model's answers from a cassette, nothing else played: real compiler, real guests, real lake.

Who wrote the answers stands in tests/cassettes/schbench.json. A policy is refused by the compiler, mended in the same
conversation, rejected by the kernel's BPF verifier, mended in the next round by an exact edit, scored, and tuned.
"""

from __future__ import annotations

import pytest
from contract_cases import contract
from homes import ROOT, Home

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1500)]
CASSETTE = ROOT / "tests" / "cassettes" / "schbench.json"
SIZE = ("--iterations", "3", "--per-iteration", "1", "--pairs", "4", "--tier", "smoke")
PLAYED = {"SCHEDCP_MODEL_CASSETTE": str(CASSETTE), "SCHEDCP_MODEL_RUNG": "write"}


@pytest.fixture(scope="module")
def home(guest, tmp_path_factory):
    return Home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def tuned(home):
    done = home.run("tune", "schbench", *SIZE, "--json", timeout_s=1200, **PLAYED)
    assert done.returncode == 0, done.stderr
    return contract(done.stdout)


@pytest.fixture(scope="module")
def calls(home, tuned):
    return contract(home.run("calls", tuned["run_id"], "--json").stdout)


def test_what_was_written_is_rejected_mended_scored_and_wins(tuned):
    tried = [candidate for iteration in tuned["iterations"] for candidate in iteration["candidates"]]
    assert [(one["pathway"], one["planner"]) for one in tried] == [
        ("write", "model:cassette"), ("patch", "model:cassette"), ("configure", "model:cassette"),
    ]  # fmt: skip
    assert tried[0]["rejection"]["stage"] == "kernel" and tried[0]["ratio"] is None
    assert [one["outcome"] for one in tried[1:]] == ["win", "win"]
    assert tuned["best"]["policy"] == tried[1]["policy"] and tuned["best"]["ratio"]["ci95"][0] > 2
    assert tuned["model"]["calls"] == 4 and tuned["model"]["priced"] is False


def test_each_call_is_kept_with_what_was_heard_before_and_what_became_of_it(calls):
    kept = calls["calls"]
    assert [(call["iteration"], call["turn"]) for call in kept] == [(1, 1), (1, 2), (2, 1), (3, 1)]
    fates = [(fate["rung"], fate["fate"]) for call in kept for fate in call["fates"]]
    assert fates == [("write", "refused"), ("write", "kept"), ("patch", "kept"), ("configure", "kept")]
    assert all("by hand" in call["answered_by"] for call in kept)
    assert "call to undeclared function" in kept[1]["messages"][-1]["content"], "the compiler's words, at once"
    question = kept[2]["messages"][-1]["content"]
    assert "in its words:" in question and "unbounded" in question, "the kernel's words, in the next round"
    assert "turns_of[cpu]++" in question, "and the source that they speak of"
    assert "request_p99_us" in kept[3]["messages"][-1]["content"] and "(EEVDF " in kept[3]["messages"][-1]["content"]


def test_the_policy_is_in_the_lake_with_its_author_and_its_line(home, tuned, calls):
    (entry,) = contract(home.run("lake", "show", tuned["best"]["policy"], "--json").stdout)["entries"][:1]
    policy = entry["data"]
    assert entry["kind"] == "policies" and policy["origin"] == "model"
    authored = policy["authored"]
    assert authored["rung"] == "patch" and authored["model"] == "model:cassette" and authored["usd"] is None
    first = tuned["iterations"][0]["candidates"][0]["policy"]
    assert authored["lineage"] == [first] and authored["call"] == calls["calls"][2]["id"] and authored["tokens"] > 0


def test_the_report_says_what_was_asked_and_that_no_price_is_known(home, tuned):
    from pathlib import Path

    report = Path(tuned["report"]).with_suffix(".txt").read_text()
    assert "4 calls to a model:" in report and "price unknown" in " ".join(report.split())

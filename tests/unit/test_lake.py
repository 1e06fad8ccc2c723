# SPDX-License-Identifier: Apache-2.0
"""The lake over real LanceDB tables: what is put is found, once, by every reader."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import candidate, policy, records, score

from policy_lake.embed import embedder
from policy_lake.errors import InputError
from policy_lake.journal import encode
from policy_lake.lake import Lake
from policy_lake.model import Lesson, Policy, Rejection, from_json
from policy_lake.records import KINDS, LakeError, Rejected, Run, columns
from policy_lake.tuned import RunError

LIBRARY = [
    Policy(id, title, summary, good_for, "much else", "/* BPF C */")
    for id, title, summary, good_for in [
        (
            "fifo",
            "Global FIFO",
            "One queue for all CPUs; tasks run in the order in which they became ready.",
            "uniform short jobs, where the least overhead counts and fairness does not",
        ),
        (
            "vtime",
            "Weighted virtual time",
            "Tasks run in the order of the CPU time they had, divided by their weight.",
            "mixed tenants that need a fair share by nice value and cgroup weight",
        ),
        (
            "ljf",
            "Longest job first",
            "Tasks known to run long start first, so that no long one is left alone at the end.",
            "a batch with one huge job among many short ones: transcoding, parallel builds, merges",
        ),
        (
            "rr",
            "Round robin with short slices",
            "Every ready task soon gets a short turn.",
            "wake-up latency: request servers, messaging, the p99 of many small interactive tasks",
        ),
        (
            "percpu",
            "Per-CPU queues with stealing",
            "A queue for each CPU; a CPU that runs dry takes work from its neighbours.",
            "cache-warm throughput on many cores, little migration, NUMA locality",
        ),
    ]
]


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake", embedder=embedder("hash:8"))


def reader(lake: Lake) -> Lake:
    return Lake(lake.path, embedder=embedder("hash:8"))


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    lake = Lake(tmp_path_factory.mktemp("library") / "lake")  # the default embedder
    lake.put(*LIBRARY, policy("only-web", "web servers", workloads=("web",)))
    return lake


@pytest.mark.parametrize(
    ("text", "best"),
    [
        ("video transcoding batch where one file is huge", "ljf"),
        ("39 short jobs and 1 long job; finish all of them sooner", "ljf"),
        ("reduce the p99 latency of a request server", "rr"),
        ("threads sleep and wake up often and must run at once when they wake", "rr"),
        ("weighted fair share between containers", "vtime"),
        ("keep caches warm on a machine with many cores", "percpu"),
        ("percpu", "percpu"),
    ],
)
def test_search_ranks_the_right_policy_first(library, text, best):
    found = library.search_policies(text, 3)
    assert found[0].policy == next(p for p in LIBRARY if p.id == best)
    assert 1 >= found[0].relevance >= found[1].relevance >= found[2].relevance > 0
    assert library.search_policies(text, 3) == found


def test_search_by_workload_leaves_out_policies_made_for_another(library):
    def ids(**by):
        return {r.policy.id for r in library.search_policies("web servers; it's 100% (new) \x00", 10, **by)}

    assert ids() == ids(workload="web") == {p.id for p in LIBRARY} | {"only-web"}
    assert ids(workload="o'batch") == {p.id for p in LIBRARY}


def test_each_half_of_a_search_can_be_had_alone(library):
    text = "keep caches warm for a web server"
    for by in ("words", "meaning"):
        found = library.search_policies(text, 10, by=by)
        assert [r.relevance for r in found] == [round(61 / (60 + place), 4) for place in range(1, len(found) + 1)]
        assert library.search_policies(text, 1, by=by) == found[:1]
        here = library.search_policies(text, 10, by=by, workload="batch")
        assert [r.policy for r in here] == [r.policy for r in found if r.policy.id != "only-web"]
    assert library.search_policies("zzyzx", 10, by="words") == [], "no word in common"
    assert len(library.search_policies("zzyzx", 10, by="meaning")) == len(LIBRARY) + 1
    assert [r.policy.id for r in library.search_policies("percpu", 10, by="words")] == ["percpu"]


def test_search_needs_a_text_and_a_limit(library):
    for text, limit in ((" ", 3), ("web", 0)):
        with pytest.raises(InputError):
            library.search_policies(text, limit)
    assert len(library.search_policies("zzyzx", 2)) == 2  # no word in common: by meaning alone


def test_an_empty_lake_answers_without_lancedb_and_makes_nothing(tmp_path):
    code = (
        "import sys; from pathlib import Path; from policy_lake.lake import Lake; lake = Lake(Path(sys.argv[1]));"
        "assert lake.runs() == lake.policies() == lake.get('x') == lake.search_policies('x') == [];"
        "assert lake.best('batch') is None and not any(lake.counts().values());"
        "assert not {'lancedb', 'pyarrow', 'numpy', 'wordllama', 'pydantic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "lake"], check=True)
    assert not (tmp_path / "lake").exists()


def test_a_record_is_found_by_every_question_about_it(lake):
    tried = candidate("c1")
    failed = Rejected(candidate("c2"), Rejection("load", "refused", "R1 invalid mem access"), "batch")
    run = Run("run-1", "batch", "running", "2026-11-22T10:00:00Z")
    lesson = Lesson("l1", "run-1", "batch", "ljf", "It's long jobs first.")
    lake.put(run, tried, failed.candidate, failed, score("s1", candidate="c1"), lesson)
    lake.put(score("s2", "run-2", workload="web", policy="rr"), Run("run-2", "web", "done", "2026-11-22T11:00:00Z"))
    lake.put(done := replace(run, status="done", best="ljf", summary=RunError('it "failed"')))
    for seen in (lake, reader(lake)):
        assert seen.runs("batch") == [done] and [r.id for r in seen.runs()] == ["run-2", "run-1"]
        assert seen.candidates("run-1") == [tried, failed.candidate]
        assert seen.rejections("batch") == seen.rejections(run="run-1") == [failed] and not seen.rejections("web")
        assert [s.id for s in seen.scores("web")] == [s.id for s in seen.scores(policy="rr")] == ["s2"]
        assert [s.id for s in seen.scores("batch", "run-1")] == ["s1"] and not seen.scores("batch", "run-2")
        assert seen.lessons("batch") == [lesson] and seen.lessons("o'web") == []
        assert [e.kind for e in seen.get("c1")] == ["candidates", "scores"]
        assert [e.kind for e in seen.get("c2")] == ["candidates", "rejections"]
        (entry,) = seen.get("run-1")
        assert from_json(KINDS[entry.kind], entry.data) == done
        assert seen.counts() == {
            "policies": 0, "profiles": 0, "candidates": 2, "scores": 2, "rejections": 1, "lessons": 1, "runs": 2,
            "measurements": 0,
            "regressions": 0, "rollouts": 0, "calls": 0,
        }  # fmt: skip


def test_one_candidate_tried_by_two_runs_belongs_to_both(lake):
    lake.put(candidate("c1", "run-1"), candidate("c1", "run-2"))
    assert lake.candidates("run-1") == [candidate("c1", "run-1")]
    assert len(lake.get("c1")) == 2


def test_the_best_is_a_proven_win_with_the_highest_lower_bound(lake):
    assert lake.best("batch") is None
    lake.put(score("wide", low=1.05), score("good", low=1.2), score("four", low=1.3, cpus=4))
    lake.put(score("unsure", low=1.5, outcome="inconclusive"), score("loose", low=1.6, attached=False))
    lake.put(score("other", low=2.0, workload="web"))
    assert lake.best("batch").id == "four" and lake.best("batch", cpus=2).id == "good"


def test_putting_again_costs_nothing_and_replaces_by_id(lake):
    lake.put(policy("a"), policy("b"))
    journal = lake.path / "journal.jsonl"
    size = journal.stat().st_size
    lake.put(policy("b"), policy("a"))
    assert journal.stat().st_size == size
    lake.put(policy("a", "first"), policy("a", "last"))
    assert {p.id: p.good_for for p in lake.policies()} == {"a": "last", "b": "tests"}
    lake.put(policy("a", "not kept"), policy("a", "last"))
    assert {p.id: p.good_for for p in reader(lake).policies()} == {"a": "last", "b": "tests"}


def test_bad_input_stores_nothing_of_the_batch(lake):
    with pytest.raises(InputError, match="keeps no str"):
        lake.put(policy("a"), "b")
    assert not lake.path.exists()


def test_a_writer_is_seen_by_a_reader_that_was_open_before(lake):
    lake.put(policy("a"))
    other = reader(lake)
    assert len(other.policies()) == 1
    lake.put(policy("b"))
    assert [p.id for p in other.policies()] == ["a", "b"]
    lake.rebuild()
    lake.put(policy("c"))
    assert [p.id for p in other.policies()] == ["a", "b", "c"]


def test_many_writes_are_kept_compact(lake, monkeypatch):
    import lancedb

    monkeypatch.setattr("policy_lake.tables.OPTIMIZE_EVERY", 8)
    for n in range(12):
        lake.put(policy(f"p{n}"))
    assert len(lake.policies()) == 12
    assert (
        lancedb.connect(next(lake.path.glob("tables-*")))
        .open_table("policies")
        .stats()["fragment_stats"]["num_fragments"]
        < 8
    )
    assert lake.search_policies("p7", 1)[0].policy.id == "p7"


def test_another_embedder_is_refused_until_a_rebuild(lake):
    lake.put(policy("a", "web servers"))
    other = Lake(lake.path, embedder=embedder("hash:16"))
    assert len(other.policies()) == 1
    with pytest.raises(LakeError, match=r"embedded by hash:8, not hash:16: `schedcp lake rebuild`"):
        other.search_policies("web")
    with pytest.raises(LakeError, match="embedded by hash:8"):
        other.put(policy("b"))
    assert other.rebuild()["policies"] == 2  # the refused one was in the journal already
    assert {r.policy.id for r in other.search_policies("web")} == {"a", "b"}


def test_an_embedder_whose_dimensions_changed_is_refused(lake):
    lake.put(policy("a"))
    tool = embedder("hash:8")
    tool.dimensions = 4
    with pytest.raises(LakeError, match=r"gives 4 numbers a text, the lake in .* has 8"):
        Lake(lake.path, embedder=tool).search_policies("web")


def test_any_record_comes_back_equal_from_tables_and_from_a_rebuild(lake):
    want = {}

    def stored():
        found = [e for (_, id_) in want for e in lake.get(id_)]
        return {(e.kind, e.id): from_json(KINDS[e.kind], e.data) for e in found}

    @given(st.lists(records, min_size=1, max_size=6))
    @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def put(batch):
        want.clear()
        lake.put(*batch)
        for record in batch:
            line = encode(record)
            want[line.kind, columns(line.kind, line.data)["id"]] = record
        assert want.items() <= stored().items()

    put()
    last, counts = stored(), lake.counts()
    rebuilt = lake.rebuild()
    assert stored() == last and rebuilt == {kind: count for kind, count in counts.items() if count}


def test_a_scan_has_all_records_the_last_first_and_few_at_a_time(lake, monkeypatch):
    lake.put(*(Lesson(f"l{number}", "r", "batch", "fifo", "it helps") for number in range(7)))
    asked = []
    read = lake.having
    monkeypatch.setattr(lake, "having", lambda kind, column, ids: asked.append(len(ids)) or read(kind, column, ids))
    scan = lake.scan("lessons", most=3)
    assert [next(scan).id, len(asked)] == ["l6", 1]
    assert [one.id for one in scan] == [f"l{number}" for number in range(5, -1, -1)]
    assert asked == [3, 3, 1]


def test_records_are_found_by_several_values_of_a_column_at_once(lake):
    lake.put(*(candidate(id, run) for id, run in (("a", "r1"), ("b", "r2"), ("a", "r3"))))
    assert [(one.id, one.run_id) for one in lake.having("candidates", "candidate", ["a"])] == [("a", "r1"), ("a", "r3")]
    assert [one.id for one in lake.having("candidates", "run_id", ["r2", "r'1"])] == ["b"]
    assert lake.having("candidates", "run_id", []) == []

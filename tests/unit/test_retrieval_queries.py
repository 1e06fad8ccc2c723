# SPDX-License-Identifier: Apache-2.0
"""The labelled queries: enough of them, for every policy, in no essay's words; and how what is found is counted."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from bpf.library import policies
from control_plane.bench.retrieval import AT, read_queries, recall
from policy_lake.errors import InputError
from policy_lake.topology import Topology

GOOD = """[profiles.p]
cpus = 4
llcs = 2
aim = "latency"
wall_s = 2.0
commands = [["a", 2, 3000.0, 2000.0, 5.0, 40, 7.0, 8.0], ["b", 1, 1000.0, 1000.0, 0.0, 2, 9.0, 4.0]]
[[queries]]
text = "slow answers"
accept = ["rr"]
profile = "p"
held = true
"""


def test_there_are_enough_queries_for_every_policy_and_a_third_is_held_out() -> None:
    queries = read_queries()
    assert len(queries) >= 60 and len({query.text for query in queries}) == len(queries)
    assert len(queries) / 3 - 1 <= sum(query.held for query in queries) <= len(queries) / 3 + 1
    labelled = Counter(id for query in queries for id in query.accept)
    assert set(labelled) == {policy.id for policy in policies()} and min(labelled.values()) >= 3
    assert 20 <= sum(query.profile is not None for query in queries) <= len(queries) - 20


def test_no_query_repeats_five_words_of_an_essay() -> None:
    essays = {run for policy in policies() for run in runs(policy.source.partition("*/")[0])}
    assert [query.text for query in read_queries() if essays & set(runs(query.text))] == []


def runs(text: str) -> list[tuple[str, ...]]:
    words = re.findall(r"[a-z0-9.']+", text.lower())
    return [tuple(words[at : at + 5]) for at in range(len(words) - 4)]


def test_a_query_s_numbers_are_a_profile_and_a_place(tmp_path: Path) -> None:
    (tmp_path / "q.toml").write_text(GOOD)
    (query,) = read_queries(tmp_path / "q.toml")
    assert query.profile is not None and query.held and query.accept == {"rr"}
    assert (query.profile.text, query.profile.aim, query.place.topology) == ("slow answers", "latency", Topology(4, 2))
    assert (query.profile.cpu_s, query.profile.parallelism, query.profile.wakeups_per_s) == (4.0, 2.0, 21.0)
    first = query.profile.commands[0]
    assert (first.comm, first.tasks, first.cpu_ms, first.cpu_ms_max_task, first.wait_ms) == (
        "a",
        2,
        3000.0,
        2000.0,
        5.0,
    )
    assert (first.wakeups, first.burst_us_p50, first.wait_us_p99) == (40, 7.0, 8.0)


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [('"rr"', '"nonesuch"', "query 1: .*'nonesuch'"), ('["rr"]', "[]", "query 1: .*accepts no policy"),
     ("held", "hold", "query 1: .*unknown field 'hold'"), ('"p"', '"q"', "query 1: KeyError: 'q'"),
     ("wall_s", "wall", "query 1: .*wall_s"), ("[[queries]]", "[[queries", "q.toml: ")],
)  # fmt: skip
def test_a_wrong_query_is_named(tmp_path: Path, before: str, after: str, why: str) -> None:
    (tmp_path / "q.toml").write_text(GOOD.replace(before, after))
    with pytest.raises(InputError, match=why):
        read_queries(tmp_path / "q.toml")


def test_recall_counts_the_first_three_of_as_many_as_there_is_room_for() -> None:
    assert AT == 3
    assert recall(["a", "b", "c", "d"], frozenset("abcd")) == 1.0
    assert recall(["a", "x", "y", "b"], frozenset("ab")) == 0.5
    assert recall(["x", "y", "a"], frozenset("a")) == 1.0 and recall(["x", "y", "z", "a"], frozenset("a")) == 0.0

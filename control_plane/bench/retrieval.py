# SPDX-License-Identifier: Apache-2.0
"""How well policies are found for workloads in their users' words: `python -m control_plane.bench.retrieval`."""

from __future__ import annotations

import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from bpf.library import policies
from control_plane.bench.figures import Figure, main
from policy_lake.errors import InputError
from policy_lake.lake import Lake
from policy_lake.profile import CommandProfile, WorkloadProfile
from policy_lake.topology import Topology
from tasks.retrieve import Place, retrieve

QUERIES = Path(__file__).parents[2] / "tests/retrieval_queries.toml"
AT = 3  # first places that count: as many as a round of `tune` opens beside its control
# What the fused ranking is to reach, over the queries that it was chosen on and over those held out: what was measured
# when it was chosen (docs/retrieval.md), less 0.05: one query of the held-out third weighs 0.04.
FLOOR_OPEN, FLOOR_HELD = 0.58, 0.43


@dataclass(frozen=True, slots=True)
class Query:
    """A workload in words, perhaps with numbers and a topology, and the ids of the policies that suit it."""

    text: str
    accept: frozenset[str]
    held: bool
    profile: WorkloadProfile | None
    place: Place


Way = Callable[[Lake, Query], list[str]]


def read_queries(path: Path = QUERIES) -> list[Query]:
    """The labelled queries; InputError that names the file and the query for one that is not as its head says."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {error}") from error
    queries = []
    for number, row in enumerate(data.get("queries", []), 1):
        try:
            queries.append(_query(row, data["profiles"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: query {number}: {type(error).__name__}: {error}") from error
    return queries


def _query(row: Mapping[str, Any], profiles: Mapping[str, Any]) -> Query:
    if unknown := set(row) - {"text", "accept", "held", "profile"}:
        raise ValueError(f"unknown field '{min(unknown)}'")
    text, accept, held = row["text"], frozenset(row["accept"]), row.get("held", False)
    if strange := accept - {policy.id for policy in policies()}:
        raise ValueError(f"no policy of the library is called '{min(strange)}'")
    if not accept:
        raise ValueError("it accepts no policy")
    if "profile" not in row:
        return Query(text, accept, held, None, Place())
    numbers = profiles[row["profile"]]
    topology = Topology(numbers["cpus"], numbers.get("llcs", 1), numbers.get("smt", 1))
    return Query(text, accept, held, _profile(row["profile"], text, numbers), Place(topology=topology))


def _profile(name: str, text: str, numbers: Mapping[str, Any]) -> WorkloadProfile:
    commands = tuple(
        CommandProfile(
            comm, tasks, cpu_ms, most_ms, wait_ms, 0.0, wakeups, wakeups,
            burst_us_p50=burst_us, burst_us_p99=2 * burst_us, wait_us_p50=wait_us / 4, wait_us_p99=wait_us,
        )
        for comm, tasks, cpu_ms, most_ms, wait_ms, wakeups, burst_us, wait_us in numbers["commands"]
    )  # fmt: skip
    cpu_s, wall_s = sum(command.cpu_ms for command in commands) / 1e3, numbers["wall_s"]
    woken = sum(command.wakeups for command in commands) / wall_s
    return WorkloadProfile(
        f"p-{name}", name, numbers["cpus"], wall_s, cpu_s, cpu_s / wall_s, woken, commands, "", text, aim=numbers["aim"]
    )


def recall(found: Sequence[str], accept: frozenset[str]) -> float:
    """The share of the accepted policies that are among the first AT found, of as many as there is room for."""
    return len(accept.intersection(found[:AT])) / min(AT, len(accept))


def by_text(lake: Lake, query: Query) -> list[str]:
    """As `schedcp lake search` ranks."""
    return [ranked.policy.id for ranked in lake.search_policies(query.text, AT)]


def by_words(lake: Lake, query: Query) -> list[str]:
    """By the words that query and policy share (BM25)."""
    return [ranked.policy.id for ranked in lake.search_policies(query.text, AT, by="words")]


def by_meaning(lake: Lake, query: Query) -> list[str]:
    """By the embedder's vectors."""
    return [ranked.policy.id for ranked in lake.search_policies(query.text, AT, by="meaning")]


def by_all(lake: Lake, query: Query) -> list[str]:
    """As a planner is given them: the text's ranking, fused with the numbers' where there are some."""
    wanted = query.text if query.profile is None else query.profile
    return [ranked.policy.id for ranked in retrieve(wanted, lake, place=query.place, limit=AT)]


def figures(ways: Mapping[str, Way]) -> Iterator[Figure]:
    """Two for each way, over the queries that weights were chosen on and over the third that was held out."""
    queries = read_queries()
    with tempfile.TemporaryDirectory() as place:
        lake = Lake(Path(place))
        lake.put(*policies())
        for name, way in ways.items():
            recalls = [(query, recall(way(lake, query), query.accept)) for query in queries]
            for held, floor in ((False, FLOOR_OPEN), (True, FLOOR_HELD)):
                reached, told = _told([(query, found) for query, found in recalls if query.held is held])
                required = way is by_all
                target = f">= {floor:.2f}" if required else "none"
                met = not required or reached >= floor
                yield Figure(f"recall@{AT}, {name}, {'held' if held else 'open'}", told, target, met, required)


def _told(recalls: Sequence[tuple[Query, float]]) -> tuple[float, str]:
    reached = fmean(found for _, found in recalls)
    parts = [f"{reached:.2f} of {len(recalls)}"]
    for words, numbers in (("with numbers", True), ("text alone", False)):
        some = [found for query, found in recalls if (query.profile is not None) is numbers]
        parts.append(f"{words} {fmean(some):.2f} of {len(some)}")
    return reached, f"{parts[0]} ({', '.join(parts[1:])})"


WAYS: dict[str, Way] = {"text": by_text, "words": by_words, "meaning": by_meaning, "fused": by_all}


def _figure_of(name: str) -> Callable[[], Iterator[Figure]]:
    return lambda: figures({name: WAYS[name]})


if __name__ == "__main__":
    sys.exit(main("retrieval", {name: _figure_of(name) for name in WAYS}))

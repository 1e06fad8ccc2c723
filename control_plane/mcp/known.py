# SPDX-License-Identifier: Apache-2.0
"""What a client may read: workloads, policies, the authoring guide, history. Nothing here writes to the lake."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from bpf.library import policies as library
from control_plane.mcp.data import knobs_of, named, named_or_none, quoted
from control_plane.mcp.limits import GUIDE_CHARACTERS
from control_plane.mcp.records import (
    Guide,
    History,
    LessonSaid,
    Policies,
    PolicyWhole,
    RejectedSaid,
    RunSaid,
    Workloads,
)
from control_plane.mcp.said import of_policy, of_rejection, of_score, of_whole_policy, of_workload
from policy_lake.embed import embedder
from policy_lake.errors import InputError
from policy_lake.files import scratch
from policy_lake.lake import Lake
from policy_lake.model import Policy
from policy_lake.records import RankedPolicy, Run
from tasks.authoring import reading
from tasks.host.lake import open_lake
from tasks.host.settings import Settings
from tasks.host.workloads import list_workloads
from tasks.run.alive import is_dead

Any_ = TypeVar("Any_")


def workloads(settings: Settings) -> Workloads:
    """Every workload that can be read."""
    readable, unreadable = list_workloads(settings)
    return Workloads(workloads=tuple(map(of_workload, readable)), unreadable=len(unreadable))


def search(query: str, limit: int, settings: Settings) -> Policies:
    """The policies nearest to the words, of the library and of the lake."""
    return Policies(policies=tuple(of_policy(one.policy, one.relevance) for one in _ranked(query, limit, settings)))


def policy_by_id(id: str, settings: Settings) -> Policy:
    """The policy of that id, the library's before the lake's; InputError that says how to find one."""
    for known in (*library(), *reversed(open_lake(settings).policies())):
        if named(known.id) == id and known.source:
            return known
    raise InputError(f"policy: there is no '{id}': search_policies finds some")


def policy(id: str, settings: Settings) -> PolicyWhole:
    """A policy with its source."""
    return of_whole_policy(policy_by_id(id, settings))


def guide() -> Guide:
    """How to write a policy; InfraError where this installation does not have it."""
    return Guide(guide=quoted(reading.guide(), "guide", GUIDE_CHARACTERS))


def history(workload: str, policy: str, limit: int, settings: Settings) -> History:
    """Runs, scores, rejections and lessons, the latest first, of one workload or policy where that is asked for."""
    lake, of = open_lake(settings), workload or None
    runs = [run for run in lake.runs(of) if not policy or policy == run.best]
    scores = [score for score in reversed(lake.scores(of, policy=policy or None)) if score.pairs]
    rejected = [one for one in reversed(lake.rejections(of)) if policy in ("", one.candidate.policy)]
    lessons = [one for one in reversed(lake.lessons(of)) if policy in ("", one.policy)]
    return History(
        runs=tuple(_run(run, settings) for run in runs[:limit]),
        scores=tuple(map(of_score, scores[:limit])),
        rejections=tuple(
            RejectedSaid(
                policy=named(one.candidate.policy), workload=named_or_none(one.workload),
                knobs=knobs_of(one.candidate.knob_values), rejection=of_rejection(one.rejection),
            )
            for one in rejected[:limit]
        ),
        lessons=tuple(
            LessonSaid(
                policy=named_or_none(one.policy), workload=named_or_none(one.workload), text=quoted(one.text, "lake")
            )
            for one in lessons[:limit]
        ),
        left_out={
            "runs": _beyond(runs, limit), "scores": _beyond(scores, limit), "rejections": _beyond(rejected, limit),
            "lessons": _beyond(lessons, limit),
        },
    )  # fmt: skip


def _run(run: Run, settings: Settings) -> RunSaid:
    # `schedcp runs` writes down that a run's process is gone; here it is only said.
    status = "killed" if run.status == "running" and is_dead(run.id, settings) else run.status
    return RunSaid(
        id=named(run.id), workload=named(run.workload), status=status, started=str(run.started)[:19],
        best=named_or_none(run.best),
    )  # fmt: skip


def _beyond(rows: Sequence[Any_], limit: int) -> int:
    return max(0, len(rows) - limit)


def _ranked(query: str, limit: int, settings: Settings) -> list[RankedPolicy]:
    lake = open_lake(settings)
    known = lake.policies()
    if {policy.id for policy in library()} <= {policy.id for policy in known}:
        return lake.search_policies(query, limit)
    # A lake has the library's policies from its first run on, and a search is to write nothing into it.
    return _beside(tuple(known), settings.embedder).search_policies(query, limit)


@functools.lru_cache(maxsize=1)
def _beside(known: tuple[Policy, ...], spec: str) -> Lake:
    directory = scratch("mcp-policies")
    lake = _Scratch(Path(directory.name) / "lake", embedder=embedder(spec))
    lake.directory = directory
    own = {policy.id for policy in library()}
    lake.put(*library(), *(policy for policy in known if policy.id not in own))
    return lake


class _Scratch(Lake):
    """A lake of policies alone, which goes with its directory when nobody holds it any more."""

    directory: object = None

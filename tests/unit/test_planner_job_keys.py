# SPDX-License-Identifier: Apache-2.0
"""What tells long jobs from short ones, and the keys that a policy gets for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from planner_cases import BATCH, COMM, CPU_NS, SLICE, command, context, policy

from benchmarks.profile_jobs import name_key
from bpf.library import policy as library_policy
from policy_lake.knobs import settle
from policy_lake.model import Knob
from policy_lake.profile import JobPart, JobProfile, WorkloadProfile
from tasks.planners.job_keys import BITS, PARTS, kinds, parents
from tasks.planners.openings import openings

BY = Knob("job_by", "int", "1", "parts", 1, 63, "parts", c_type="u32")
KEYS = Knob("job_key", "ints", "", "keys", count=64, c_type="u64")
# By sx_hash of bpf/primitives/jobkey.h, compiled on its own.
NAMES = {"batch-long": "11352623991312249841", "sh": "10432885439990289095"}
LJF = policy("ljf", SLICE, COMM, KEYS, CPU_NS, BY)


def job(by: JobPart, key: int, tasks: int, each_ms: float, sd: float = 0.0) -> JobProfile:
    return JobProfile(by, str(key), tasks, tasks * each_ms, each_ms, sd)


def blind(by: JobPart) -> JobProfile:
    """39 jobs of 10 ms and one of 200 ms as one kind: nothing tells them apart."""
    return JobProfile(by, "1", 40, 590.0, 200.0, 29.67)


def telling(by: JobPart) -> tuple[JobProfile, ...]:
    return (*(job(by, 100 + n, 1, 10.0) for n in range(39)), job(by, 7, 1, 200.0))


def profile(*jobs: JobProfile) -> WorkloadProfile:
    return replace(BATCH, commands=(command("batch", 40, 590.0, 200.0),), jobs=jobs)


def hints(seen: WorkloadProfile, *, of: Any = LJF) -> dict[str, object]:
    values = dict(openings(context(seen, policies=(of,)))[0].knob_values)
    values.pop("slice_ns", None)
    return values


def test_the_part_that_explains_is_chosen_and_its_jobs_come_longest_first() -> None:
    told = kinds(profile(blind("name"), *telling("arguments"), blind("executable")))
    assert told is not None and (told.by, told.share) == ("arguments", pytest.approx(1.0))
    assert [row.key for row in told.jobs[:3]] == ["7", "100", "101"]


def test_of_parts_that_explain_as_much_the_steadiest_is_chosen() -> None:
    for at, part in enumerate(PARTS):
        told = kinds(profile(*(row for other in PARTS[at:] for row in telling(other))))
        assert told is not None and told.by == part
    # Names leave 4 % unexplained, or 6 %: the second is too much.
    for sd, by in ((6.4, "name"), (8.0, "position")):
        named = (JobProfile("name", "1", 39, 390.0, 20.0, sd), job("name", 2, 1, 200.0))
        told = kinds(profile(*named, *telling("position")))
        assert told is not None and told.by == by


def test_nothing_tells_jobs_that_are_alike_or_have_no_kind() -> None:
    assert kinds(profile()) is None
    assert kinds(profile(*(blind(part) for part in PARTS))) is None
    assert kinds(profile(job("name", 1, 20, 10.0), job("name", 2, 20, 10.0))) is None, "no variance to explain"
    assert kinds(profile(job("name", 1, 20, 10.0, 10.0), job("name", 2, 20, 30.1, 10.0))) is not None
    assert kinds(profile(job("name", 1, 20, 10.0, 10.0), job("name", 2, 20, 29.9, 10.0))) is None


def test_those_without_a_row_of_their_own_count_and_are_no_kind() -> None:
    rest = JobProfile("arguments", "0", 30, 300.0, 200.0, 35.0)
    told = kinds(profile(rest, *telling("arguments")))
    assert told is None or all(row.key != "0" for row in told.jobs)
    told = kinds(profile(replace(rest, cpu_ms_sd=0.0), *telling("arguments")))
    assert told is not None and len(told.jobs) == 40


def test_names_have_the_probe_s_numbers() -> None:
    assert name_key("batch-long") == NAMES["batch-long"] and name_key("sh") == NAMES["sh"]
    assert name_key("a" * 20) == name_key("a" * 15) != name_key("a" * 14)


def test_parents_are_single_tasks_that_others_descend_from() -> None:
    seen = profile(JobProfile("parent", name_key("sh"), 9, 1.0, 1.0, 0.0))
    shell = command("sh", 1, 1.0, 1.0)
    assert parents(replace(seen, commands=(shell, command("x", 1, 1.0, 1.0)))) == {"sh"}
    assert parents(replace(seen, commands=(replace(shell, tasks=2),))) == frozenset()
    assert parents(replace(seen, jobs=(job("name", int(name_key("sh")), 9, 1.0),), commands=(shell,))) == frozenset()


def test_a_policy_that_takes_keys_gets_those_that_tell_jobs_apart() -> None:
    seen = profile(blind("name"), *telling("arguments"))
    values = hints(seen)
    assert list(values) == ["job_key", "job_cpu_ns", "job_by"]
    assert values["job_by"] == BITS["arguments"] == 2
    assert str(values["job_key"]).split(",")[:2] == ["7", "100"] and str(values["job_key"]).count(",") == 15
    assert str(values["job_cpu_ns"]).split(",")[:2] == ["200000000", "10000000"], "no more than there are times for"
    assert list(settle(library_policy("ljf"), values)) == ["job_key", "job_cpu_ns", "job_by"]


def test_names_are_given_as_names_and_without_a_long_job_nothing_is() -> None:
    named = profile(job("name", 1, 39, 10.0), job("name", 2, 1, 200.0))
    assert "job_key" not in hints(named)
    assert "job_key" not in hints(profile(blind("name"))) and "job_by" not in hints(profile(blind("name")))
    close = profile(blind("name"), job("arguments", 1, 20, 10.0), job("arguments", 2, 20, 14.0))
    even = replace(close, commands=(command("batch", 40, 480.0, 14.0),))
    assert hints(even) == {}
    for without in ("job_by", "job_key", "job_cpu_ns"):
        fewer = policy("ljf", *(knob for knob in LJF.knobs if knob.name != without))
        assert "job_key" not in hints(profile(blind("name"), *telling("arguments")), of=fewer)

# SPDX-License-Identifier: Apache-2.0
"""What tells a workload's long jobs from its short ones: the part of a job's key that explains their CPU times best."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.profile_jobs import name_key
from policy_lake.profile import JobPart, JobProfile, WorkloadProfile

# By how well a part that told jobs apart in one run will do so in the next: a name is the program's own, arguments may
# have a temporary file's name in them, and a position is another as soon as jobs come in another order.
PARTS: tuple[JobPart, ...] = ("name", "executable", "cgroup", "parent", "arguments", "position")
BITS: dict[JobPart, int] = {"name": 1, "arguments": 2, "executable": 4, "parent": 8, "cgroup": 16, "position": 32}
NEARLY = 0.05  # a steadier part may explain this much less than the best
TELLS = 0.5  # of the variance: below that nothing tells long jobs from short ones


@dataclass(frozen=True, slots=True)
class Kinds:
    """Jobs by one part of their key, longest mean first; `share` of the variance of CPU times is explained by it."""

    by: JobPart
    share: float
    jobs: tuple[JobProfile, ...]


def kinds(profile: WorkloadProfile) -> Kinds | None:
    """The steadiest part that explains about as much as the best one; None where none explains at least TELLS."""
    by_part = {part: [job for job in profile.jobs if job.by == part] for part in PARTS}
    found = [Kinds(part, _share(rows), _longest_first(rows)) for part, rows in by_part.items()]
    best = max((kind.share for kind in found), default=0.0)
    if best < TELLS:
        return None
    return next(kind for kind in found if kind.share >= best - NEARLY)


def parents(profile: WorkloadProfile) -> frozenset[str]:
    """The commands of one task that others descend from: a harness, a shell, not what the workload does."""
    known = {job.key for job in profile.jobs if job.by == "parent"}
    return frozenset(c.comm for c in profile.commands if c.tasks == 1 and name_key(c.comm) in known)


def _longest_first(rows: list[JobProfile]) -> tuple[JobProfile, ...]:
    return tuple(sorted((job for job in rows if job.key != "0"), key=lambda job: (-job.cpu_ms / job.tasks, job.key)))


def _share(rows: list[JobProfile]) -> float:
    """The share of the variance between tasks that lies between keys (eta squared); 0 where all tasks are alike."""
    tasks = sum(job.tasks for job in rows)
    if not tasks:
        return 0.0
    mean = sum(job.cpu_ms for job in rows) / tasks
    within = sum(job.tasks * job.cpu_ms_sd**2 for job in rows)
    between = sum(job.tasks * (job.cpu_ms / job.tasks - mean) ** 2 for job in rows)
    return between / (between + within) if between > 0 else 0.0

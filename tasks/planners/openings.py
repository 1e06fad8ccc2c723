# SPDX-License-Identifier: Apache-2.0
"""First plans: each retrieved policy with the knob values its rule suggests, the most promising first."""

from __future__ import annotations

from dataclasses import dataclass, field

from policy_lake.knobs import KnobError, bounds, canonical
from policy_lake.model import Knob, KnobValue, Policy
from policy_lake.profile import CommandProfile, WorkloadProfile
from tasks.planners.job_keys import BITS, kinds
from tasks.planners.kin import lost_on_kin
from tasks.planners.protocol import PlanContext
from tasks.planners.rules import Finding
from tasks.planners.rules_library import kind_of
from tasks.planners.traits import Traits, competing, traits

LONG_JOB = 1.5  # a task this many times the median is worth a hint
MOST_HINTS = 16
KEY_KNOBS = ("job_by", "job_key", "job_cpu_ns")
NAME_BYTES = 15  # TASK_COMM_LEN less the zero at its end
LOST = 0.3  # what is left of a policy's strength that lost on a sibling workload
UNKNOWN = 0.3  # strength of a policy that no rule knows
PER_US = {"ns": 1000.0, "us": 1.0, "ms": 0.001}


@dataclass(frozen=True, slots=True)
class Opening:
    """A policy with its first knob values, and how promising it is: `strength` in 0 to about 1.2.

    `hints` are those of the knob values that tell it of this workload's own jobs.
    """

    policy: Policy
    knob_values: dict[str, KnobValue]
    reason: str
    strength: float
    is_control: bool
    hints: dict[str, KnobValue] = field(default_factory=dict)


def openings(context: PlanContext) -> list[Opening]:
    """One opening per retrieved policy, strongest first; ties keep the order of retrieval."""
    profile_traits = traits(context.profile)
    # What was composed for another workload opens no run: it is handed down where it won, or composed anew.
    known = [policy for policy in context.policies if policy.origin != "composed"]
    unsorted = [_opening(context, profile_traits, place, policy) for place, policy in enumerate(known)]
    return sorted(unsorted, key=lambda opening: -opening.strength)


def _opening(context: PlanContext, profile_traits: Traits, place: int, policy: Policy) -> Opening:
    kind = kind_of(policy)
    if kind is None:
        text = (
            f"retrieved for this workload at place {place + 1}; it says it is good for: {policy.good_for or 'nothing'}"
        )
        finding = Finding(UNKNOWN, text)
    else:
        finding = kind.find(context.profile, profile_traits)
    hints = _keys(policy, context.profile, profile_traits) or _hints(policy, context.profile, profile_traits)
    knob_values = _slice(policy, finding) | hints
    nearness = 1 - place / len(context.policies)
    strength = finding.strength + 0.1 * nearness * (finding.strength > 0.15)
    if context.profile.workload in policy.workloads:
        strength += 0.05
    is_control = kind is not None and kind.policy == "fifo"
    evidence = finding.evidence
    if (lost := lost_on_kin(context, policy.id)) is not None:
        strength *= LOST
        evidence += f"; it lost {lost.ratio.median:.2f}x on {lost.workload}, which is alike (score {lost.id})"
    return Opening(policy, knob_values, evidence, strength, is_control=is_control, hints=hints)


def slice_knob(policy: Policy) -> Knob | None:
    """The knob that sets the time slice."""
    slices = [knob for knob in policy.knobs if knob.kind == "int" and knob.name.startswith("slice")]
    return min(slices, key=lambda knob: len(knob.name), default=None)


def _slice(policy: Policy, finding: Finding) -> dict[str, KnobValue]:
    knob = slice_knob(policy)
    if knob is None or finding.slice_us is None:
        return {}
    unit = knob.unit if knob.unit in PER_US else knob.name.rpartition("_")[2]
    return {knob.name: clamp(knob, round(finding.slice_us * PER_US[unit]))} if unit in PER_US else {}


def _keys(policy: Policy, profile: WorkloadProfile, profile_traits: Traits) -> dict[str, KnobValue]:
    """Keys of jobs and their CPU times, for a policy that takes them, where names do not tell long jobs from short."""
    by, keys, times = (next((knob for knob in policy.knobs if knob.name == name), None) for name in KEY_KNOBS)
    told = kinds(profile)
    if by is None or keys is None or times is None or told is None or told.by == "name":
        return {}
    if not any(job.cpu_ms >= LONG_JOB * profile_traits.median_ms * job.tasks > 0 for job in told.jobs):
        return {}
    rows = told.jobs[: min(keys.count, times.count)]
    values: dict[str, KnobValue] = {
        by.name: BITS[told.by],
        keys.name: canonical(keys, [job.key for job in rows]),
        times.name: canonical(times, [clamp(times, round(job.cpu_ms / job.tasks * 1e6)) for job in rows]),
    }
    return {knob.name: values[knob.name] for knob in policy.knobs if knob.name in values}


def _hints(policy: Policy, profile: WorkloadProfile, profile_traits: Traits) -> dict[str, KnobValue]:
    """Jobs' names for the knob that takes names, and their recorded CPU times for the one beside it, longest first.

    Where there is no knob for times, a name alone has to mark a job as long: only long ones are named.
    """
    names = next((knob for knob in policy.knobs if knob.kind == "names" and "comm" in knob.name), None)
    times = next((knob for knob in policy.knobs if knob.kind == "ints" and "cpu_ns" in knob.name), None)
    if names is None:
        return {}
    nameable = [job for job in jobs(profile) if _can_name(names, job.comm)]
    is_long = [job.cpu_ms_max_task >= LONG_JOB * profile_traits.median_ms > 0 for job in nameable]
    if not any(is_long):
        return {}
    named = nameable if times else [job for job, long in zip(nameable, is_long, strict=True) if long]
    named = named[: min(names.count, times.count if times else MOST_HINTS, MOST_HINTS)]
    hints: dict[str, KnobValue] = {names.name: canonical(names, [cut(job.comm) for job in named])}
    if times is not None:
        cpu_ns = [clamp(times, round(job.cpu_ms / job.tasks * 1e6)) for job in named]
        hints[times.name] = canonical(times, cpu_ns)
    return {knob.name: hints[knob.name] for knob in policy.knobs if knob.name in hints}


def jobs(profile: WorkloadProfile) -> list[CommandProfile]:
    """The commands that use the CPU time, longest task first, one for each name as the kernel cuts it."""
    first: dict[str, CommandProfile] = {}
    for command in sorted(competing(profile), key=lambda command: (-command.cpu_ms_max_task, command.comm)):
        if command.tasks > 0:
            first.setdefault(cut(command.comm), command)
    return list(first.values())


def cut(comm: str) -> str:
    """A command's name as the kernel keeps it: 15 bytes of TASK_COMM_LEN, less what is then no character any more."""
    return comm.encode(errors="replace")[:NAME_BYTES].decode(errors="ignore")


def _can_name(names: Knob, comm: str) -> bool:
    """Whether the knob can hold the name as it is: a command may call itself anything."""
    try:
        return comm != "" and canonical(names, [cut(comm)]) == cut(comm)
    except KnobError:
        return False


def clamp(knob: Knob, value: int) -> int:
    """The nearest value that the knob takes."""
    low, high = bounds(knob)
    return min(max(value, low), high)

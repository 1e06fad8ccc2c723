# SPDX-License-Identifier: Apache-2.0
"""Whether a stall was met on a machine of which a CPU had gone off line and come back, and half of a CPU was left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from policy_lake.codes import Code
from policy_lake.errors import LostVMError
from policy_lake.events import Ran, StepEvent
from policy_lake.model import Finding
from verifier_vm.judge.readings import read_run
from verifier_vm.situations import Situation, made_by

PLUGGED = frozenset({Situation.HOTPLUG, Situation.LATE_CPU})
STALLS = frozenset({Code.STALL, Code.NO_PROGRESS})
TWO = 2  # CPUs: with more the last is not the only one that goes


def with_its_cpu(
    finding: Finding, event: StepEvent, before: Sequence[StepEvent], workloads: Mapping[str, str]
) -> Finding:
    """A rejection with the CPU that came back, by the guest's steps until then; `workloads` by exercise."""
    if finding.level != "reject" or finding.code not in STALLS or not isinstance(event, Ran):
        return finding
    plugged = [one.exercise for one in before if isinstance(one, Ran) and _plugs(workloads.get(one.exercise, ""))]
    try:
        reading = read_run(event)
    except LostVMError:  # a run that ended early may have said nothing
        return finding
    if not plugged or reading.cpus != TWO or not reading.one_idled:
        return finding
    why = (
        f"CPU {TWO - 1} had gone off line and come back before ({plugged[-1]}), and the work of half a CPU was not done"
    )
    return replace(finding, reason=f"{finding.reason}; {why}")


def _plugs(workloads: str) -> bool:
    return not PLUGGED.isdisjoint(made_by(workloads))

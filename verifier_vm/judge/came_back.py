# SPDX-License-Identifier: Apache-2.0
"""Whether a stall was met after a CPU had gone off line and come back, and that CPU may have done nothing since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from policy_lake.codes import Code
from policy_lake.errors import LostVMError
from policy_lake.events import Ran, StepEvent
from policy_lake.model import Finding
from verifier_vm.judge.cause import stuck_task
from verifier_vm.judge.dump import Dump, parse_dump
from verifier_vm.judge.readings import read_run
from verifier_vm.situations import Situation, made_by

PLUGGED = frozenset({Situation.HOTPLUG, Situation.LATE_CPU})
STALLS = frozenset({Code.STALL, Code.NO_PROGRESS})
TWO = 2  # CPUs: with more the last is not the only one that goes


def with_its_cpu(
    finding: Finding, event: StepEvent, before: Sequence[StepEvent], workloads: Mapping[str, str], dump: str = ""
) -> Finding:
    """A rejection with the CPU that came back, by the guest's steps until then; `workloads` by exercise, `dump` the
    kernel's.

    Said only where nothing shows that this CPU took work since: no exercise had more CPU time than the other CPU has,
    and where there is a dump it idled, or who is stuck may run nowhere else.
    """
    if finding.level != "reject" or finding.code not in STALLS or not isinstance(event, Ran):
        return finding
    runs = [one for one in (*before, event) if isinstance(one, Ran)]
    plugged = [at for at, one in enumerate(runs[:-1]) if _plugs(workloads.get(one.exercise, ""))]
    if not plugged:
        return finding
    since = runs[plugged[-1] + 1 :]
    if not all(map(_left_one_out, since)) or not _fits(parse_dump(dump), finding.reason):
        return finding
    by = runs[plugged[-1]].exercise
    why = f"CPU {TWO - 1} had gone off line and come back before ({by}), and nothing since took more than the other one"
    return replace(finding, reason=f"{finding.reason}; {why}")


def _left_one_out(event: Ran) -> bool:
    """Whether half of a CPU's time was left, of two; not known of a run that ended early and said nothing."""
    try:
        reading = read_run(event)
    except LostVMError:
        return False
    return reading.cpus == TWO and reading.one_idled


def _fits(dump: Dump, said: str) -> bool:
    """Whether the kernel saw that CPU idle, or the stuck task bound to it; where it wrote nothing down it may be."""
    stuck, last = stuck_task(dump, said), next((cpu for cpu in dump.cpus if cpu.number == TWO - 1), None)
    if stuck is None:
        return True
    return stuck.cpus == 1 << (TWO - 1) or last is None or dump.is_free(last)


def _plugs(workloads: str) -> bool:
    return not PLUGGED.isdisjoint(made_by(workloads))

# SPDX-License-Identifier: Apache-2.0
"""What a CPU that goes off line leaves behind: what is suspected of cpu_offline, and a stall with the CPU that came."""

from __future__ import annotations

import pytest
from gate_events import events, labelled
from gate_events import told as reported
from object_cases import OBJECTS, object_bytes

from policy_lake.codes import Code
from policy_lake.model import Finding, Stage
from verifier_vm.answers import answered
from verifier_vm.judge.came_back import with_its_cpu
from verifier_vm.judge.readings import read_run
from verifier_vm.object.analyse import analyse_object, read_facts
from verifier_vm.object.check_hotplug import left_behind
from verifier_vm.situations import Situation

DARK, LIGHT = "f30_stays_dark_fails", "plain_looks_again"
WORKLOADS = {"W1": "W1", "W9": "W9", "W28": "W28", "mix": "W1+W2"}


def suspicion():
    return [one for one in analyse_object(object_bytes(DARK)).findings if one.bug == "F30" and one.level == "suspicion"]


def test_what_cpu_offline_takes_and_cpu_online_does_not_give_back_is_suspected_at_its_condition() -> None:
    (found,) = suspicion()
    assert "'gone'" in found.reason and "cpu_online" in found.reason and "cpu_offline" in found.reason
    assert found.place.startswith(f"{DARK}.bpf.c:") and found.situations == (Situation.HOTPLUG,)


@pytest.mark.parametrize("name", sorted({path.name.partition(".")[0] for path in OBJECTS.glob("*.o.xz")} - {DARK}))
def test_nothing_else_is(name: str) -> None:
    assert not list(left_behind(read_facts(object_bytes(name))))


def test_who_then_starves_does_so_by_that() -> None:
    starved = Finding("F03", "reject", "a W2-ping made no progress", "W2", "", Code.NO_PROGRESS, basis="guess")
    stages = answered([Stage("object", True, 0.0, tuple(suspicion())), Stage("survive", False, 0.0, (starved,))])
    (suspected,), (shown,) = (stage.findings for stage in stages)
    assert suspected.outcome == "witnessed" and shown.bug == "F30" and "cpu_offline sets 'gone'" in shown.reason


def hogs(run_ms: float):
    """A run of W1 in which its threads had so much of the two CPUs' time, and the steps before it."""
    given = events("accepted")
    reading = read_run(labelled(given, "policy:W1"))
    quiet = {f"{name}.run_ms": 0.0 for name in reading.groups}
    made = labelled(reported("policy:W1", quiet | {"W1-hog.run_ms": run_ms * reading.wall_ms}), "policy:W1")
    return made, [labelled(given, "policy:W9")]


def stall(level="reject", code=Code.STALL):
    return Finding("F03", level, "it stalled", "W1", code=code)


@pytest.mark.parametrize(
    ("run", "finding", "plugged", "is_told"),
    [
        (1.5, stall(), True, True), (1.51, stall(), True, False), (1.0, stall(), False, False),
        (1.0, stall(level="note"), True, False), (1.0, stall(code=Code.FORK_FAILED), True, False),
    ],
)  # fmt: skip
def test_a_stall_is_told_with_the_cpu_that_came_back_where_half_of_one_was_left(run, finding, plugged, is_told) -> None:
    event, before = hogs(run)
    found = with_its_cpu(finding, event, before if plugged else [], WORKLOADS)
    assert ("CPU 1 had gone off line and come back before (W9)" in found.reason) is is_told


def test_a_cpu_that_took_work_since_has_nothing_to_do_with_a_stall() -> None:
    event, before = hogs(1.0)
    busy, _ = hogs(1.6)
    told = "CPU 1 had gone off line"
    assert told in with_its_cpu(stall(), event, before, WORKLOADS).reason
    assert told not in with_its_cpu(stall(), event, [*before, busy], WORKLOADS).reason, "both CPUs worked after it"
    assert told in with_its_cpu(stall(), event, [busy, *before], WORKLOADS).reason, "that was before it went"


DUMP = """
CPU 0   : nr_run=1 flags=0x0
          curr=W1-hog[7] class=ext_sched_class

  R W1-hog[9] -2100ms
      scx_state/flags=3/0x9 dsq_flags=0x0 ops_state/qseq=0/0
      dsq_id=0x1 dsq_vtime=0 slice=20000000 weight=100
      cpus={mask}
CPU 1   : nr_run=0 flags=0x0
          curr=x[0] class={last}_sched_class
"""


@pytest.mark.parametrize(("last", "mask", "is_told"), [("idle", 3, True), ("ext", 3, False), ("ext", 2, True)])
def test_where_the_kernel_wrote_down_who_ran_that_cpu_idled_or_the_stuck_task_is_bound_to_it(last, mask, is_told):
    event, before = hogs(1.0)
    found = with_its_cpu(stall(), event, before, WORKLOADS, DUMP.format(last=last, mask=mask))
    assert ("CPU 1 had gone off line" in found.reason) is is_told

# SPDX-License-Identifier: Apache-2.0
"""Decisions of the judge that no other test notices when they are turned round; `make mutants` found them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fake_scenarios import PANIC, Scenario
from fake_vm import VIRTUAL, FakeVM
from gate_events import altered, changed, events, labelled, taken_off, verdict
from test_thresholds import fair, group, hogs, ran, raw, reading

from policy_lake.codes import Code
from policy_lake.coverage import Branch, Coverage, counted
from policy_lake.errors import LostVMError
from policy_lake.events import Attached, Counters, Detached, SchedState
from policy_lake.exit_record import ExitKind, ExitRecord
from policy_lake.model import Stage, Verdict
from policy_lake.topology import Topology
from verifier_vm.judge import gate
from verifier_vm.judge.ended import HOTPLUG_CODE
from verifier_vm.judge.executed import DIED
from verifier_vm.judge.facts import Facts, read_facts
from verifier_vm.judge.fairness import compare
from verifier_vm.judge.kernel_words import UNKNOWN, cause_of_exit
from verifier_vm.judge.oracles import survived
from verifier_vm.judge.readings import read_run
from verifier_vm.judge.stages import EVIDENCE_LINES, merged, verdict_of_death
from verifier_vm.judge.suite import SHORT
from verifier_vm.verdict import honours_cgroups, stage_of

FLAT = Scenario(report={"policy:W12-shares": {"W12-heavy.run_ms": 100.0, "W12-light.run_ms": 100.0}})
ENDED = Scenario(record=ExitRecord(1025, 0, "scx_bpf_error", "no context"))
STALLED = ExitRecord(1026, 0, "runnable task stall", "W6-pinned[117] failed to run for 2.9s")


def test_cgroup_callbacks_are_a_promise():
    claims = replace(stage_of("object", 0.1), callbacks=("init", "cgroup_init"))
    assert honours_cgroups([stage_of("source", 0.1), claims])
    assert not honours_cgroups([stage_of("source", 0.1), replace(claims, callbacks=("init",))])


def judge_all(vm, **options):
    return gate.verify_object(b"object", (), VIRTUAL, tier="full", **options)


def judge_short(vm, **options):
    return gate.verify_part(b"object", (), VIRTUAL, SHORT, **options)


@pytest.mark.parametrize("judge", [judge_all, judge_short])
def test_by_default_a_part_promises_no_cgroups_has_no_seed_and_stops_at_a_rejection(judge, monkeypatch):
    vm = FakeVM(FLAT).install(monkeypatch, gate)
    assert judge(vm).verdict.accepted and {job.seed for job in vm.jobs} == {0}
    assert judge(vm, cgroups=True).verdict.rejection.code == Code.CGROUP_SHARE
    stopped = judge(FakeVM(ENDED).install(monkeypatch, gate)).verdict
    assert [stage.name for stage in stopped.stages] == ["kernel", "survive"]
    read_on = judge(FakeVM(ENDED).install(monkeypatch, gate), check_all=True).verdict
    assert [stage.name for stage in read_on.stages] == ["kernel", "survive", "fair"] and not read_on.accepted
    died = judge(FakeVM("kernel dies saying why").install(monkeypatch, gate)).verdict
    assert died.coverage == Coverage(DIED)


def test_the_short_tier_is_the_first_part_with_seed_0(monkeypatch):
    vm = FakeVM("good policy").install(monkeypatch, gate)
    gate.verify_object(b"object", (), VIRTUAL)
    assert vm.jobs[0].steps == (*SHORT.before(virtual=True), *SHORT.steps((), 2000)) and vm.jobs[0].seed == 0


def test_a_stage_that_every_guest_passed_is_passed_and_the_last_guest_names_the_kernel():
    guests = [Verdict(True, None, (Stage("kernel", True, 1.0),), "x", "d", kernel) for kernel in ("7.3", "7.4")]
    both = merged(guests)
    assert both.accepted and both.stages == (Stage("kernel", True, 2.0),) and both.kernel == "7.4"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_what_ran_and_what_was_tried_is_of_all_guests(order):
    fates = [("not tried", "ran"), ("not tried", "not tried"), ("ran", "not tried")]
    guests = []
    for fate, cpus in zip(fates, (2, 4, 2), strict=True):
        stage = Stage("survive", True, 1.0, topologies=(Topology(cpus),))
        guests.append(Verdict(True, None, (stage,), coverage=counted([], [], [Branch("f", "f.c", 1, 1, 0, *fate)])))
    both = merged([guests[at] for at in order])
    assert both.coverage == counted([], [], [Branch("f", "f.c", 1, 1, 0, "ran", "ran")])
    assert both.stages[0].topologies == (Topology(2), Topology(4))
    silent = replace(guests[0], coverage=None)
    assert merged([silent, guests[1]]).coverage.unknown and merged([guests[1], silent]).coverage.unknown


def test_the_evidence_of_a_dead_kernel_is_the_end_of_its_console():
    console = "".join(f"[ 0.1] line {number}\n" for number in range(100)) + PANIC
    kept = verdict_of_death(LostVMError("gone", console), b"x").rejection.evidence.splitlines()
    assert kept == [line for line in console.splitlines()[-EVIDENCE_LINES:] if line.strip()]


def test_the_seconds_of_the_comparison_are_eevdfs_and_of_what_came_before_the_policys():
    given = [replace(event, wall_s=float(1 << at)) for at, event in enumerate(events("accepted"))]
    spent = {stage.name: stage.seconds for stage in verdict(given).stages}
    base = [event.wall_s for event in given if event.label.startswith("baseline:")]
    assert len(base) == 10 and spent == {
        "kernel": 1.0,
        "survive": sum(e.wall_s for e in given[1:-10]),
        "fair": sum(base),
    }


def test_the_evidence_of_the_comparison_is_what_was_compared_or_judged_alone():
    lines = verdict(events("accepted")).stages[-1].evidence.splitlines()
    names = {line.partition(":")[0]: "EEVDF" in line for line in lines}
    compared = dict.fromkeys(("W1", "W2", "W4", "W4-same", "W10", "W11", "W15", "W21", "W30", "W37"), True)
    assert names == {**compared, "W12-shares": False}


def test_only_what_rejects_brings_its_log_into_the_evidence():
    given = changed("policy:W3", "kmsg", ("an ordinary line",))
    assert verdict(given).stages[1].evidence == ""
    hung = verdict(changed("policy:W3", "timed_out", True, given)).rejection
    assert hung.code == Code.HUNG and hung.evidence.startswith("an ordinary line")


@pytest.mark.parametrize(("has_exit", "words"), [(True, "still empty"), (False, "has no exit callback")])
def test_a_missing_exit_record_is_laid_to_what_is_missing(has_exit, words):
    log = f"has: enqueue dispatch init {'exit ' * has_exit}flags:0\n"
    given = changed("attach", "log", log, changed("detach", "exit_record", ExitRecord(ExitKind.NONE)))
    (note,) = (f for stage in verdict(given).stages for f in stage.findings if f.code == Code.NO_EXIT_RECORD)
    assert words in note.reason


def test_a_policy_that_fell_off_is_judged_where_it_fell_and_not_again_where_it_was_found_gone():
    (found,) = verdict(events("stalled")).stages[1].findings
    assert found.code == Code.STALL and found.place != "exit"


def test_a_policy_that_ends_by_itself_in_a_reload_is_judged():
    given = events("accepted")
    attach = replace(labelled(given, "attach"), label="attach-1")
    gone = replace(labelled(given, "detach"), label="", exit_record=STALLED)
    assert isinstance(attach, Attached) and isinstance(gone, Detached)
    at = given.index(labelled(given, "detach")) + 1
    rejection = verdict([*given[:at], attach, gone, *given[at:]]).rejection
    assert (rejection.code, rejection.place) == (Code.STALL, "exit")


def test_an_exercise_is_compared_only_where_both_ran_it():
    uneven = hogs(least_ms=1.0)
    assert compare({"W1": uneven}, {}, Facts(), cgroups=False) == ()
    assert compare({}, {"W1": uneven}, Facts(), cgroups=False) == ()
    alone = reading("W4", {"W4-high": group(), "W4-low": group()})
    assert compare({"W4": alone}, {}, Facts(), cgroups=False) == ()
    assert compare({"W4-same": alone}, {}, Facts(), cgroups=False) == ()


@pytest.mark.parametrize(("square", "found"), [(624_000.0, []), (626_000.0, [("note", Code.SHARE)])])
def test_jains_index_is_compared_with_eevdfs_also_where_that_is_uneven(square, found):
    assert fair("W1", hogs(square_ms2=square), hogs(square_ms2=500_000.0)) == found


@pytest.mark.parametrize(("run_ms", "found"), [(601.0, []), (599.0, [("reject", Code.SHARE)])])
def test_shares_beside_new_tasks_are_of_each_runs_own_time(run_ms, found):
    policy = replace(reading("W8", {"W8-hog": group(run_ms=run_ms)}), wall_ms=2000.0)
    assert fair("W8", policy, reading("W8", {"W8-hog": group()})) == found


@pytest.mark.parametrize(("misses", "found"), [(15, 0), (16, 1)])
def test_of_a_hundred_masks_fifteen_may_be_missed(misses, found):
    event = ran({"W5-narrow": raw()}, counters={"SCX_EV_SELECT_CPU_FALLBACK": misses}, narrow_wakes=100)
    findings = list(survived(event, taken_off(), Facts(), 2000))
    assert [finding.code for finding in findings] == [Code.WRONG_CPU] * found


def test_the_loaders_flags_are_hexadecimal():
    log = "libbpf: a line\nhas: enqueue map:events update_idle flags:1f\n"
    facts = read_facts(altered(labelled(events("accepted"), "attach"), "log", log))
    assert facts == Facts(frozenset({"enqueue", "update_idle"}), ("events",), 0x1F)
    assert not facts.tracks_idle_itself and replace(facts, flags=0x1E).tracks_idle_itself


WARNINGS = ("WARNING: CPU: 0 PID: 9 at kernel/sched/ext.c:1", "WARNING: CPU: 1 PID: 9 at kernel/sched/core.c:2")


def test_the_kernels_first_warning_is_the_reason():
    (found,) = survived(ran({"W1-hog": raw()}, kmsg=WARNINGS), taken_off(), Facts(), 2000)
    assert WARNINGS[0] in found.reason


@pytest.mark.parametrize(("changes", "later"), [({}, False), ({"ok": False, "exit": 1}, True)])
def test_what_the_kernel_says_later_belongs_to_a_run_that_failed(changes, later):
    event = replace(ran({"W1-hog": raw()}), **changes)
    codes = [finding.code for finding in survived(event, taken_off(kmsg=WARNINGS), Facts(), 2000)]
    assert (Code.KERNEL_WARNING in codes) == later


@pytest.mark.parametrize(("out", "found"), [("", [Code.WORKLOAD_FAILED]), (None, [])])
def test_a_workload_that_failed_is_judged_by_its_report_if_it_made_one(out, found):
    event = replace(ran({"W1-hog": raw()}), ok=False, exit=1)
    event = event if out is None else replace(event, out=out)
    assert [finding.code for finding in survived(event, taken_off(), Facts(), 2000)] == found


def test_without_a_report_nobody_is_known_to_have_waited():
    off = SchedState("disabled", "", 1)
    words = ('sched_ext: BPF scheduler "x" disabled (runnable task stall)', "sched_ext: x: watchdog failed to check in")
    event = replace(ran({"W1-hog": raw()}, after=off, kmsg=words), out="")
    (found,) = survived(event, taken_off(), Facts(), 2000)
    assert found.bug == "F19"


def fell(words, code=0, *, kind=1024, label="policy:W3"):
    """What is found when the policy's own record says these words."""
    event = replace(ran({"W1-hog": raw()}, after=SchedState("disabled", "", 1)), label=label)
    (found,) = survived(event, taken_off(exit_record=ExitRecord(kind, code, words)), Facts(), 2000)
    return found


def test_only_an_unknown_end_is_laid_to_a_cpu_that_went_away_and_only_with_its_code():
    unknown, known = "words of no cause", "runnable task stall: W6-pinned[117] failed to run for 2.9s"
    hotplug = fell(unknown, HOTPLUG_CODE)
    assert hotplug.bug == cause_of_exit("cpu 0 going offline").bug != UNKNOWN.bug
    assert fell(unknown, 1).bug == fell(unknown).bug == UNKNOWN.bug
    assert fell(known, HOTPLUG_CODE).bug == cause_of_exit(known).bug not in (UNKNOWN.bug, hotplug.bug)


def test_a_policy_fell_off_where_the_kernel_says_or_else_in_the_exercise_that_ran():
    assert fell("runnable task stall: W6-pinned[117] failed to run for 2.9s").place == "W6"
    assert fell("scx_bpf_error").place == "W3"


def test_a_group_without_progress_is_placed_in_its_workload():
    event = ran({"W6-pinned": raw(gap_ms=2500.0), "W1-hog": raw()})
    (found,) = survived(event, taken_off(), Facts(), 2000)
    assert (found.code, found.place) == (Code.NO_PROGRESS, "W6")


def test_the_workloads_first_error_is_in_the_reason():
    event = replace(ran({"W1-hog": raw()}, fork_errors=2), err="\nfork: out of memory\nmore\n")
    (found,) = survived(event, taken_off(), Facts(), 2000)
    assert found.code == Code.FORK_FAILED and "2" in found.reason
    assert "fork: out of memory" in found.reason and "more" not in found.reason


def test_the_first_warning_while_loading_is_the_cause():
    soft, other = "watchdog: BUG: soft lockup - CPU#1 stuck for 22s!", WARNINGS[0]
    bugs = [verdict(changed("attach", "kmsg", kmsg)).rejection.bug for kmsg in ((soft, other), (other, soft))]
    assert bugs == [cause_of_exit(soft).bug, cause_of_exit(other).bug] and bugs[0] != bugs[1]


def test_threads_that_had_no_cpu_time_shared_it_evenly_and_got_no_part_of_it():
    idle = group(run_ms=0.0, square_ms2=0.0, least_ms=0.0)
    assert (idle.jain, idle.least_share) == (1.0, 0.0)


def test_a_group_that_was_not_reported_is_no_verdict():
    with pytest.raises(LostVMError, match="no group W1-hog"):
        reading("W1", {"W6-pinned": group()})["W1-hog"]


def test_the_report_is_the_last_line_and_a_counter_is_what_it_grew_by():
    event = ran({"W1-hog": raw()})
    counters = Counters({"SCX_EV_A": 3, "SCX_EV_B": 5}, {"SCX_EV_A": 5, "SCX_EV_B": 5, "SCX_EV_C": 0})
    event = replace(event, out=f"{{}}\n{event.out}\n", counters=counters)
    assert read_run(event).counted == {"A": 2}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"gap_ms": 0.0', '"gap_ms": NaN'),
        ('"gap_ms": 0.0', '"gap_ms": -1.0'),
        ('"gap_ms": 0.0', '"gap_ms": "0.0"'),
        ('"gap_ms": 0.0', '"gap": 0.0'),
        ('"late_ms": 1', '"late_ms": 1e999'),
        ('"figures"', '"other"'),
        ('"cpus": 4', '"cpus": null'),
        ('"W1-hog"', '"W1.hog": [], "W1-hog"'),
        ("{", "["),
    ],
)
def test_of_a_report_that_is_not_whole_nothing_is_read(old, new):
    event = ran({"W1-hog": raw()}, late_ms=1)
    assert old in event.out and read_run(event).figures == {"late_ms": 1.0}
    with pytest.raises(LostVMError, match="policy:mix"):
        read_run(replace(event, out=event.out.replace(old, new, 1)))
    with pytest.raises(LostVMError, match="'groups'"):
        read_run(ran({}))


def test_the_first_warning_while_it_is_taken_off_is_the_reason():
    rejection = verdict(changed("detach", "kmsg", WARNINGS)).rejection
    assert rejection.code == Code.KERNEL_WARNING and WARNINGS[0] in rejection.reason

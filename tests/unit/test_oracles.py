# SPDX-License-Identifier: Apache-2.0
"""What the oracles make of a workload's figures: each bug's own sign rejects, and what is merely different is noted."""

from __future__ import annotations

import pytest
from gate_events import altered, changed, events, labelled, reported, told, verdict

from benchmarks.attachment import bad_detach
from policy_lake.codes import Code
from policy_lake.exit_record import ExitKind, ExitRecord
from verifier_vm.judge.facts import Facts, read_facts
from verifier_vm.judge.fairness import compare
from verifier_vm.judge.kernel_words import cause_of_exit, place_of
from verifier_vm.judge.readings import Group, Reading, read_run
from verifier_vm.judge.refusal_words import cause_of_refusal
from verifier_vm.judge.suite import FULL, SHORT, parts

SURVIVE = [
    ("policy:mix", {"W6-pinned.gap_ms": 2500.0}, "F13", Code.NO_PROGRESS, ("W6-pinned", "2500", "2000")),
    ("policy:mix", {"W1-hog.gap_ms": 2000.5}, "F01", Code.NO_PROGRESS, ("W1-hog", "2000")),
    ("policy:W7", {"W7-hog.gap_ms": 2200.0}, "F14", Code.NO_PROGRESS, ("W7-hog",)),
    ("policy:mix", {"W8-hog.gap_ms": 2200.0}, "F15", Code.NO_PROGRESS, ("W8-hog",)),
    ("policy:W3", {"W3-crowd.gap_ms": 2100.0}, "F26", Code.NO_PROGRESS, ("W3-crowd",)),
    ("policy:mix", {"fork_errors": 3}, "F27", Code.FORK_FAILED, ("3",)),
    ("policy:W12", {"mkdir_errors": 2}, "F28", Code.CGROUP_FAILED, ("2",)),
    ("policy:W9", {"hotplug_errors": 1}, "F30", Code.HOTPLUG_FAILED, ()),
    ("policy:mix", {"not_started": 4}, "F15", Code.NEVER_RAN, ()),
]


@pytest.mark.parametrize(("label", "figures", "bug", "code", "shown"), SURVIVE)
def test_a_gap_or_an_error_rejects_and_names_the_bug_that_its_workload_brings_out(label, figures, bug, code, shown):
    found = verdict(told(label, figures)).rejection
    assert (found.stage, found.bug, found.code) == ("survive", bug, code), found
    assert all(figure in found.reason for figure in shown)
    assert found.advice and found.evidence


@pytest.mark.parametrize(
    ("bound_ms", "floating_ms", "stuck", "bug"),
    [
        (1.0, 0.02, "W5-wanderer", "F43"), (1.0, 0.03, "W5-wanderer", "F13"), (0.99, 0.02, "W5-wanderer", "F13"),
        (1.0, 0.02, "W6-pinned", "F13"),
    ],
)  # fmt: skip
def test_who_waits_beside_bound_hogs_that_have_the_time_is_most_likely_behind_them(bound_ms, floating_ms, stuck, bug):
    capacity = labelled(told("policy:mix", {}), "policy:mix")
    half = read_run(capacity).capacity_ms / 2
    figures = {f"{stuck}.gap_ms": 2100.0, "W6-pinned.run_ms": bound_ms * half, "W1-hog.run_ms": 2 * floating_ms * half}
    found = verdict(told("policy:mix", figures)).rejection
    assert (found.bug, found.basis) == (bug, "guess")


def test_a_gap_just_within_the_limit_is_none():
    assert verdict(told("policy:mix", {"W6-pinned.gap_ms": 2000.0})).accepted


FAIR = [
    ("policy:W1", {"W1-hog.least_ms": 50.0}, "F18", Code.SHARE, ()),
    ("policy:W1", {"W1-hog.work_ms": 2000.0}, "F36", Code.OVERHEAD, ()),
    ("policy:W1", {"W1-hog.work_ms": 2000.0, "W1-hog.run_ms": 2000.0}, "F21", Code.IDLE_CPU, ()),
    ("policy:W11", {"W11-hog.work_ms": 700.0, "W11-hog.run_ms": 700.0}, "F24", Code.IDLE_CPU, ()),
    ("policy:W10", {"W10-sparse.delay_ms": 100.0}, "F21", Code.IDLE_CPU, ("12%",)),
    ("policy:W2", {"late_p99_us": 1_200_000}, "F19", Code.LATENCY, ("1200.0 ms",)),
    ("policy:W2", {"late_n": 0}, "F19", Code.LATENCY, ()),
]


@pytest.mark.parametrize(("label", "figures", "bug", "code", "shown"), FAIR)
def test_what_eevdf_does_far_better_rejects(label, figures, bug, code, shown):
    found = verdict(told(label, figures)).rejection
    assert (found.stage, found.bug, found.code) == ("fair", bug, code), found
    assert all(figure in found.reason for figure in shown)
    assert found.advice and "EEVDF" in found.evidence


def test_more_of_the_same_is_no_bug():
    assert verdict(told("policy:W10", {"W10-sparse.delay_ms": 20.0})).accepted
    assert verdict(told("policy:W1", {"W1-hog.work_ms": 3500.0})).accepted
    slow = verdict(told("policy:W2", {"late_p99_us": 200_000}))
    assert slow.accepted and "F19" in {finding.bug for finding in slow.stages[-1].findings}


def with_nice(floating, same):
    made = events("accepted")
    for label, high_and_low in (("policy:W4", floating), ("policy:W4-same", same)):
        middle = tuple((high * low) ** 0.5 for high, low in zip(*high_and_low, strict=True))
        for level, times in zip(
            ("W4-high", "W4-mid", "W4-low"), (high_and_low[0], middle, high_and_low[1]), strict=True
        ):
            names = (f"{level}.{name}_ms" for name in ("run", "least", "most"))
            made = told(label, dict(zip(names, times, strict=True)), made)
    return made


def test_nice_upside_down_for_every_thread_and_on_one_cpu_too_rejects():
    down = [(400, 90, 110), (1200, 280, 320)], [(100, 100, 100), (300, 300, 300)]
    found = verdict(with_nice(*down)).rejection
    assert (found.stage, found.bug, found.code, "0.33" in found.reason) == ("fair", "F16", Code.NICE, True)
    # Long turns make shares uneven by chance: some nice thread had more than some other, or one CPU says otherwise.
    by_chance = [(400, 50, 290), (1200, 280, 320)], down[1]
    one_cpu = down[0], [(300, 300, 300), (300, 300, 300)]
    for given in (by_chance, one_cpu):
        accepted = verdict(with_nice(*given))
        assert accepted.accepted and "F16" in {finding.bug for finding in accepted.stages[-1].findings}


def test_nice_that_works_is_not_mentioned():
    works = verdict(with_nice([(1200, 280, 320), (130, 30, 35)], [(700, 700, 700), (80, 80, 80)]))
    assert works.accepted and {finding.bug for finding in works.stages[-1].findings} == {"F41"}


def has(line, made):
    return changed("attach", "log", f"has: {line}\n", made)


def test_a_yield_that_gives_up_nothing_rejects_only_who_took_yield_over():
    spins = {"yields": 800, "handovers": 3}
    assert verdict(told("policy:W15", spins)).accepted
    found = verdict(has("enqueue yield", told("policy:W15", spins))).rejection
    assert (found.stage, found.bug) == ("fair", "F40")


def test_weights_of_cgroups_bind_who_promises_to_keep_them():
    assert verdict(events("accepted")).accepted
    assert verdict(events("accepted"), cgroups=True).rejection.bug == "F41"
    assert verdict(has("enqueue cgroup_set_weight", events("accepted"))).rejection.bug == "F41"
    kept = told("policy:W12-shares", {"W12-heavy.run_ms": 1500.0, "W12-light.run_ms": 500.0})
    assert verdict(kept, cgroups=True).accepted
    assert verdict(has("enqueue cgroup_set_bandwidth", kept), cgroups=True).rejection.bug == "F41"


def test_who_tracks_idle_cpus_itself_has_lost_one():
    lost = told("policy:W10", {"W10-sparse.delay_ms": 100.0})
    own, kernels = (verdict(has(f"enqueue update_idle flags:{flags}", lost)).rejection for flags in (0, 1))
    assert (own.bug, own.basis) == ("F23", "guess"), "a wrong mask of its own looks the same"
    assert (kernels.bug, kernels.basis) == ("F21", "")


def counted(label, after, cpus=2):
    made = reported(label, lambda report: report.update(cpus=cpus), told(label, {"narrow_wakes": 300.0}))
    return changed(label, "counters.after", {**labelled(made, label).counters.after, **after}, made)


def test_a_cpu_that_may_not_be_used_is_counted_by_the_kernel():
    many = {"SCX_EV_SELECT_CPU_FALLBACK": 150}
    assert verdict(counted("policy:mix", many, cpus=4)).rejection.bug == "F12"
    assert verdict(counted("policy:mix", {"SCX_EV_SELECT_CPU_FALLBACK": 10}, cpus=4)).accepted
    assert verdict(counted("policy:mix", many)).accepted  # with two CPUs a narrow mask is one CPU: nobody is asked
    assert verdict(counted("policy:mix", {"SCX_EV_INSERT_NOT_OWNED": 1})).rejection.bug == "F08"


@pytest.mark.parametrize(
    ("words", "bug"),
    [
        ("runtime error: non-existent DSQ 0x7", "F02"),
        ("runtime error: invalid DSQ ID 0x8000000000000002", "F04"),
        ("runtime error: invalid DSQ ID 0xc000000000000001", "F04"),
        ("runtime error: invalid DSQ ID 0x0000000000000001", "F02"),
        ("runtime error: invalid DSQ ID 0x7fffffffffffffff", "F02"),
        ("runtime error: cannot use vtime ordering for built-in DSQs", "F05"),
        ("runtime error: DSQ ID 0x0 already had FIFO-enqueued tasks", "F06"),
        ("runtime error: x[9] already direct-dispatched", "F07"),
        ("runtime error: scheduling for a[1] but trying to direct-dispatch b[2]", "F08"),
        ("runtime error: dispatch buffer overflow", "F09"),
        ("runtime error: SCX_DSQ_LOCAL[_ON] target CPU 0 not allowed for W5-driven[7]", "F10"),
        ("runtime error: SCX_DSQ_LOCAL[_ON] cannot move migration disabled W5-driven[7] from CPU 0 to 1", "F10"),
        ("runtime error: invalid CPU -1 from ops.select_cpu()", "F11"),
        ("runnable task stall: kworker/1:1[30] failed to run for 2.0s", "F13"),
        ("runnable task stall: W6-pinned[30] failed to run for 2.0s", "F13"),
        ("runnable task stall: bash[30] failed to run for 2.0s", "F01"),
        ("runtime error: built-in idle tracking is disabled", "F22"),
        ("reenqueue limit: a[1] reenqueued 257 times without running", "F32"),
        ("runtime error: SCX_ENQ_IMMED on a non-local DSQ 0x0", "F32"),
        ("runtime error: PREEMPT/WAIT cannot be used with SCX_KICK_IDLE", "F33"),
        ("runtime error: destroy in-use dsq 0x0", "F34"),
        ("unregistered from the main kernel: cpu 1 going offline, exiting scheduler", "F30"),
        ("watchdog: BUG: soft lockup - CPU#1 stuck for 22s!", "F36"),
        ("runnable task stall: watchdog failed to check in for 2.004s", "F19"),
        ("runtime error: per-node idle tracking is enabled", "F42"),
        ("scx_bpf_error: task 9 is gone", "F29"),
        ("who knows", "kernel"),
    ],
)
def test_the_kernels_words_name_the_bug(words, bug):
    assert cause_of_exit(words).bug == bug


def test_a_stall_of_everybody_or_for_want_of_a_program_is_not_blamed_on_who_is_named():
    words = "runnable task stall: W6-pinned[30] failed to run for 2.0s"
    assert cause_of_exit(words, everybody=True).bug == "F01"
    assert cause_of_exit(words, needs_a_program=True).bug == "F37"
    assert place_of(words) == "W6" and place_of("bash[1] failed") == ""


@pytest.mark.parametrize(
    ("complaint", "bug"),
    [
        ("calling kernel function scx_bpf_dsq_move_to_local is not allowed", "context"),
        ("R1 invalid mem access 'trusted_ptr_or_null_'", "null"),
        ("R3 invalid mem access 'scalar'", "memory"),
        ("infinite loop detected at insn 9", "F36"),
        ("BPF program is too large. Processed 1000001 insn", "F36"),
        ("Unreleased reference id=3 alloc_insn=12", "reference"),
        ("program rejected", "verifier"),
    ],
)
def test_the_bpf_verifiers_words_name_the_mistake(complaint, bug):
    assert cause_of_refusal(complaint).bug == bug


KINDS = [
    *[(kind, "", None) for kind in (ExitKind.NO_RECORD, ExitKind.NONE)],
    (ExitKind.UNREG, "", None),
    *[(kind, "", Code.EXIT_ERROR) for kind in ExitKind if kind not in (-1, 0, 64, 1026)],
    (ExitKind.ERROR_STALL, "runnable task stall", Code.STALL),
    (7, "", Code.EXIT_ERROR),
]


@pytest.mark.parametrize(("kind", "reason", "code"), KINDS)
def test_the_gate_and_the_score_say_the_same_of_every_kind_of_exit(kind, reason, code):
    record = ExitRecord(int(kind), 0, reason)
    rejection = verdict(changed("detach", "exit_record", record)).rejection
    detach = altered(labelled(events("accepted"), "detach"), "exit_record", record)
    assert (rejection and rejection.code) == code and bool(bad_detach(detach)) == bool(code)
    if rejection:
        assert not rejection.reason.endswith(": "), "a rejection without a reason"


@pytest.mark.parametrize(("kind", "told"), [(ExitKind.NO_RECORD, set()), (ExitKind.NONE, {Code.NO_EXIT_RECORD})])
def test_a_policy_that_stored_nothing_in_a_known_record_is_noted_and_no_more(kind, told):
    """What it keeps elsewhere, of which the loader knows nothing, the object stage has read."""
    silent = verdict(changed("detach", "exit_record", ExitRecord(kind)))
    assert silent.accepted and {finding.code for finding in silent.stages[1].findings} == told


def test_the_loader_tells_what_is_in_the_table():
    attach = labelled(events("accepted"), "attach")
    facts = read_facts(altered(attach, "log", "libbpf: x\nhas: enqueue yield map:events flags:9\n"))
    assert facts == Facts(frozenset({"enqueue", "yield"}), ("events",), 9)
    assert read_facts(altered(attach, "log", "")) == Facts()


def test_a_hog_that_had_all_is_unfair_and_equals_are_not():
    reading = read_run(labelled(events("accepted"), "policy:W1"))
    assert 0.95 < reading["W1-hog"].jain <= 1.0 and 0.9 < reading["W1-hog"].least_share <= 1.0


@pytest.mark.parametrize("part", [SHORT, *FULL], ids=lambda part: part.name)
def test_every_part_ends_what_it_begins(part):
    steps = part.steps(("slice_ns=1",), 2000)
    labels = [step.label for step in steps]
    assert labels[0] == "attach" and steps[0].args[-1] == "ops.timeout_ms=2000" and "slice_ns=1" in steps[0].args
    assert part.offline == (part.exercises[0].name == "W28")
    for virtual in (True, False):
        before = [step.label for step in part.before(virtual=virtual)]
        assert before == [*(["rest"] if part.uptime_s and virtual else []), *(["offline"] if part.offline else [])]
    assert len(set(labels)) == len(labels) < 512
    verbs = [step.verb for step in steps]
    assert verbs.count("attach") == verbs.count("detach") == 1 + part.reloads
    assert verbs.count("start") == verbs.count("stop") == 1
    assert [label for label in labels if label.startswith("baseline:")] == [
        f"baseline:{one.name}" for one in part.compared
    ]


def test_the_tiers_cover_the_list():
    covered = {name for part in FULL for one in part.exercises for name in one.workloads.split("+")}
    assert covered == {f"W{n}" for n in (*range(1, 14), 15, 20, 21, 22, 25, 26, 27, 28, 30, 34, 35, 37)} | {
        "W12-shares"
    }
    assert {part.topology.cpus for part in FULL} >= {1, 2, 4, 8}
    assert parts("short") == (SHORT,) and parts("full") == FULL


def storm(hogs_ms):
    groups = {"W8-hog": Group(2, hogs_ms, 1.0, 1.0, 1.0, hogs_ms, 0.0, 0.0, 9)}
    return {"W8": Reading("W8", 2, 1000.0, groups, {}, {})}


def test_hogs_that_starve_beside_new_tasks_show_who_starts_in_front():
    found = compare(storm(100.0), storm(500.0), Facts(), cgroups=False)
    assert [(one.bug, one.level, one.place) for one in found] == [("F15", "reject", "W8")]
    assert compare(storm(200.0), storm(500.0), Facts(), cgroups=False) == ()


def test_a_callback_that_takes_the_cpus_is_told_from_a_slice_without_end():
    words = "sched_ext: x: watchdog failed to check in for 2.2s"
    disabled = 'sched_ext: BPF scheduler "x" disabled (runnable task stall)'
    made = changed("policy:W1", "sched.after.state", "disabled")
    made = changed("detach", "kmsg", (disabled, words), made)
    assert (verdict(made).rejection.bug, verdict(made).rejection.code) == ("F19", Code.STALL)

    def eat(report):
        report["groups"]["W1-hog"]["work_ms"] = report["groups"]["W1-hog"]["run_ms"] / 2

    eaten = verdict(reported("policy:W1", eat, made)).rejection
    assert (eaten.bug, eaten.code) == ("F36", Code.STALL) and "50%" in eaten.reason


def test_a_cpu_that_goes_away_is_known_by_the_policys_own_exit_code():
    made = changed("policy:W9", "sched.after.state", "disabled")
    made = changed("detach", "exit_record", ExitRecord(ExitKind.UNREG_KERN, 1 << 32, "who knows"), made)
    assert verdict(made).rejection.bug == "F30"

# SPDX-License-Identifier: Apache-2.0
"""Every threshold of the oracles and of the comparison with EEVDF: below, exactly at, and above it."""

from __future__ import annotations

import json

import pytest
from gate_events import taken_off

from policy_lake.codes import Code
from policy_lake.events import Counters, Ran, SchedState, Watch
from verifier_vm.judge.ended import everybody_waited
from verifier_vm.judge.facts import Facts
from verifier_vm.judge.fairness import compare
from verifier_vm.judge.oracles import survived
from verifier_vm.judge.readings import Group, Reading, read_run

LIMIT_MS = 2000
ON = SchedState("enabled", "x", 1)


def group(**figures):
    known = {
        "n": 4, "run_ms": 1000.0, "square_ms2": 250_000.0, "least_ms": 250.0, "most_ms": 250.0, "work_ms": 1000.0,
        "delay_ms": 0.0, "gap_ms": 0.0, "switches": 9,
    }  # fmt: skip
    return Group(**{**known, **figures})


def reading(name, groups, cpus=2, **figures):
    return Reading(name, cpus, 1000.0, groups, figures, {})


def fair(name, policy, base, *, callbacks=(), cgroups=False):
    """Level and code of what the comparison of one exercise says."""
    facts = Facts(frozenset(callbacks))
    findings = compare({name: policy}, {name: base}, facts, cgroups=cgroups)
    return [(finding.level, finding.code) for finding in findings]


def hogs(**figures):
    return reading("W1", {"W1-hog": group(**figures)})


@pytest.mark.parametrize(("least_ms", "found"), [(25.0, []), (24.9, [("reject", Code.SHARE)]), (25.1, [])])
def test_a_tenth_of_a_fair_share_is_enough(least_ms, found):
    assert fair("W1", hogs(least_ms=least_ms), hogs()) == found


@pytest.mark.parametrize(("square", "found"), [(312_500.0, []), (312_600.0, [("note", Code.SHARE)]), (312_400.0, [])])
def test_jains_index_may_be_four_fifths_of_eevdfs(square, found):
    assert fair("W1", hogs(square_ms2=square), hogs()) == found


@pytest.mark.parametrize(
    ("work_ms", "run_ms", "found"),
    [
        (800.0, 800.0, []),
        (800.1, 100.0, []),
        (799.0, 799.0, [("reject", Code.IDLE_CPU)]),
        (799.0, 800.0, [("reject", Code.OVERHEAD)]),
        (799.0, 1000.0, [("reject", Code.OVERHEAD)]),
    ],
)
@pytest.mark.parametrize("name", ["W1", "W11"])
def test_four_fifths_of_eevdfs_work_must_be_done(name, work_ms, run_ms, found):
    made = {f"{name}-hog": group(work_ms=work_ms, run_ms=run_ms, square_ms2=run_ms**2 / 4, least_ms=run_ms / 4)}
    assert fair(name, reading(name, made), reading(name, {f"{name}-hog": group()})) == found


@pytest.mark.parametrize(
    ("switches", "under_eevdf", "bug"), [(10_000, 9, "F36"), (10_001, 9, "F33"), (10_001, 10_001, "F36")]
)
def test_work_that_is_lost_to_switches_is_the_kicks_fault(switches, under_eevdf, bug):
    (finding,) = compare(
        {"W1": hogs(work_ms=700.0, switches=switches)}, {"W1": hogs(switches=under_eevdf)}, Facts(), cgroups=False
    )
    assert (finding.bug, finding.code, finding.level) == (bug, Code.OVERHEAD, "reject")
    assert not fair("W1", hogs(work_ms=800.0, switches=switches), hogs()), "work that gets done is nobody's fault"


def test_a_storm_is_of_those_who_never_wait():
    sleeping = {"W2-ping": group(switches=90_000), "W2-hog": group(switches=900)}
    assert reading("W2", sleeping).storm() == "" and reading("W2", {"W2-hog": group(run_ms=0.0)}).storm() == ""
    assert reading("W2", {"W2-hog": group(switches=90_000)}).storm().startswith("hogs were switched 90,000 times")


@pytest.mark.parametrize(("run_ms", "found"), [(300.0, []), (299.0, [("reject", Code.SHARE)]), (301.0, [])])
def test_hogs_beside_new_tasks_get_three_tenths_of_what_eevdf_gives(run_ms, found):
    assert fair("W8", reading("W8", {"W8-hog": group(run_ms=run_ms)}), reading("W8", {"W8-hog": group()})) == found


@pytest.mark.parametrize(
    ("late_us", "base_us", "found"),
    [
        (50_000.0, 1.0, []),
        (50_001.0, 1.0, [("note", Code.LATENCY)]),
        (60_000.0, 6_000.0, []),
        (60_001.0, 6_000.0, [("note", Code.LATENCY)]),
        (1_000_000.0, 1.0, [("note", Code.LATENCY)]),
        (1_000_000.0, 100_000.0, []),
        (1_000_001.0, 1_000_000.0, [("reject", Code.LATENCY)]),
    ],
)
def test_a_waking_task_may_wait_ten_times_as_long_and_never_over_a_second(late_us, base_us, found):
    policy, base = (reading("W2", {}, late_p99_us=us, late_n=9.0) for us in (late_us, base_us))
    assert fair("W2", policy, base) == found
    assert fair("W2", reading("W2", {}, late_p99_us=0.0, late_n=0.0), base) == [("reject", Code.LATENCY)]


@pytest.mark.parametrize(
    ("cpus", "delay_ms", "base_ms", "found"),
    [
        (3, 100.0, 0.0, []),
        (3, 100.1, 0.0, [("reject", Code.IDLE_CPU)]),
        (3, 200.0, 50.0, []),
        (3, 200.1, 50.0, [("reject", Code.IDLE_CPU)]),
        (2, 50.1, 0.0, [("reject", Code.IDLE_CPU)]),
        (1, 999.0, 0.0, []),
    ],
)
def test_a_cpu_may_idle_for_a_twentieth_beside_what_eevdf_lets_wait(cpus, delay_ms, base_ms, found):
    policy, base = (reading("W10", {"W10-sparse": group(delay_ms=ms)}, cpus) for ms in (delay_ms, base_ms))
    assert fair("W10", policy, base) == found


@pytest.mark.parametrize(
    ("handovers", "base", "found"),
    [(50.0, 900.0, False), (49.0, 900.0, True), (49.0, 100.0, True), (49.0, 99.0, False), (51.0, 900.0, False)],
)
def test_a_twentieth_of_all_yields_must_hand_over_where_eevdfs_do(handovers, base, found):
    policy, other = (reading("W15", {}, yields=1000.0, handovers=count) for count in (handovers, base))
    for callbacks, level in (((), "note"), (("yield",), "reject")):
        assert fair("W15", policy, other, callbacks=callbacks) == [(level, Code.YIELD)] * found


def nice(high_ms, low_ms, *, most=1.0, least=2.0, spread=(0.5, 0.5)):
    return {"W4-high": group(run_ms=high_ms, most_ms=most, least_ms=most - spread[0]),
            "W4-mid": group(run_ms=(high_ms * low_ms) ** 0.5, least_ms=0.0, most_ms=9.0),
            "W4-low": group(run_ms=low_ms, least_ms=least, most_ms=least + spread[1])}  # fmt: skip


@pytest.mark.parametrize(
    ("floating", "same", "found"),
    [
        (nice(1.0, 3.0), nice(1.0, 3.0), "reject"),
        (nice(2.0, 3.0), nice(1.0, 3.0), "note"),
        (nice(1.0, 3.0), nice(2.0, 3.0), "note"),
        (nice(1.9, 3.0), nice(1.9, 3.0), "reject"),
        (nice(1.0, 3.0, most=2.0, least=2.0, spread=(0.0, 0.0)), nice(1.0, 3.0), "note"),
        (nice(1.0, 3.0, spread=(0.9, 0.9)), nice(1.0, 3.0), "reject"),
        (nice(1.0, 3.0, spread=(1.0, 0.0)), nice(1.0, 3.0), "reject"),
        (nice(1.0, 3.0, spread=(0.0, 1.0)), nice(1.0, 3.0), "reject"),
        (nice(1.0, 3.0), nice(1.0, 3.0, spread=(0.0, 1.0)), "reject"),
        (nice(1.0, 3.0, spread=(1.0, 0.0)), nice(1.0, 3.0, spread=(1.0, 0.0)), "note"),
        (nice(1.0, 3.0, spread=(0.0, 1.0)), nice(1.0, 3.0, spread=(0.0, 1.0)), "note"),
        (nice(1.0, 3.0), nice(1.0, 3.0, most=2.0, least=2.0), "note"),
        (nice(3.0, 2.0), nice(1.0, 1.0), ""),
        (nice(1.0, 1.0), nice(3.0, 2.0), ""),
        (nice(2.99, 2.0), nice(1.0, 1.0), "note"),
    ],
)
def test_nice_upside_down_by_half_and_flat_below_one_and_a_half(floating, same, found):
    policy = {"W4": reading("W4", floating), "W4-same": reading("W4-same", same)}
    base = {name: reading(name, nice(9.0, 1.0)) for name in policy}
    findings = compare(policy, base, Facts(), cgroups=False)
    assert [(finding.level, finding.code) for finding in findings] == ([(found, Code.NICE)] if found else [])
    assert compare(policy, {}, Facts(), cgroups=False) == (), "nobody says what EEVDF makes of them"


@pytest.mark.parametrize(
    ("heavy", "quota", "callbacks", "level"),
    [
        (1200.0, 300.0, (), ""),
        (1199.0, 300.0, (), "note"),
        (1200.0, 300.1, (), "note"),
        (1199.0, 300.0, ("cgroup_set_weight",), "reject"),
        (1200.0, 300.1, ("cgroup_set_bandwidth",), "reject"),
        (1200.0, 300.1, ("cgroup_set_weight",), "note"),
        (1199.0, 300.0, ("cgroup_set_bandwidth",), "note"),
    ],
)
def test_cgroups_count_from_a_ratio_of_1_2_and_up_to_half_above_the_quota(heavy, quota, callbacks, level):
    runs = {"W12-heavy": heavy, "W12-light": 1000.0, "W12-quota": quota}
    policy = {"W12-shares": reading("W12-shares", {name: group(run_ms=ms) for name, ms in runs.items()}, 2)}
    findings = compare(policy, {}, Facts(frozenset(callbacks)), cgroups=False)
    assert [finding.level for finding in findings] == ([level] if level else [])
    required = [finding.level for finding in compare(policy, {}, Facts(), cgroups=True)]
    assert required == ([] if not level else ["reject"] if heavy < 1200 else ["note"])


@pytest.mark.parametrize(
    ("heavy", "callbacks", "level"),
    [
        (1200.0, ("cgroup_set_weight",), ""),
        (1199.0, ("cgroup_set_weight",), "reject"),
        (1199.0, ("cgroup_init",), "note"),
    ],
)
def test_weights_from_before_the_policy_count_by_the_same_ratio(heavy, callbacks, level):
    groups = {"W12-heavy": group(run_ms=heavy), "W12-light": group(run_ms=1000.0)}
    policy = {"W12-before": reading("W12-before", groups, 2)}
    findings = compare(policy, {}, Facts(frozenset(callbacks)), cgroups=False)
    assert [(one.level, one.bug) for one in findings] == ([(level, "F41")] if level else [])


def ran(groups, *, cpus=4, counters=None, after=ON, kmsg=(), **figures):
    out = json.dumps({"cpus": cpus, "wall_ms": 1000, "groups": groups, "figures": figures})
    return Ran(
        label="policy:mix", ok=True, seconds=1.0, kmsg=kmsg, exit=0, signal=0, timed_out=False, ended=True, out=out,
        err="", dropped=0, sched=Watch(ON, after, 9, 9), counters=Counters({}, counters or {}),
    )  # fmt: skip


def raw(**figures):
    known = {"n": 4, "square_ms2": 250_000, "switches": 9}
    times = {f"{name}_ms": 0.0 for name in ("run", "least", "most", "work", "delay", "gap")}
    return {**known, **times, **figures}


def survive(event):
    return [(f.level, f.code, f.bug) for f in survived(event, taken_off(), Facts(), LIMIT_MS)]


@pytest.mark.parametrize(("gap_ms", "found"), [(1999.9, 0), (2000.0, 0), (2000.1, 1)])
def test_no_thread_may_stand_still_for_longer_than_the_stall_limit(gap_ms, found):
    assert survive(ran({"W1-hog": raw(gap_ms=gap_ms)})) == [("reject", Code.NO_PROGRESS, "F01")] * found
    storm = raw(gap_ms=gap_ms, run_ms=1000.0, switches=10_001)
    assert survive(ran({"W1-hog": storm})) == [("reject", Code.NO_PROGRESS, "F33")] * found


@pytest.mark.parametrize(
    ("cpus", "wakes", "misses", "found"), [(4, 20, 3, 0), (4, 20, 4, 1), (3, 20, 4, 1), (2, 20, 4, 0), (4, 19, 19, 0)]
)
def test_masks_may_be_missed_by_chance_in_three_of_twenty(cpus, wakes, misses, found):
    counters = {"SCX_EV_SELECT_CPU_FALLBACK": misses}
    event = ran({"W5-narrow": raw()}, cpus=cpus, counters=counters, narrow_wakes=wakes)
    assert survive(event) == [("reject", Code.WRONG_CPU, "F12")] * found


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("fork_errors", Code.FORK_FAILED),
        ("mkdir_errors", Code.CGROUP_FAILED),
        ("cgroup_errors", Code.CGROUP_FAILED),
        ("hotplug_errors", Code.HOTPLUG_FAILED),
        ("not_started", Code.NEVER_RAN),
    ],
)
def test_what_must_not_happen_may_not_happen_once(name, code, count):
    assert [found for _, found, _ in survive(ran({"W1-hog": raw()}, **{name: count}))] == [code] * count


@pytest.mark.parametrize("count", [0, 1])
def test_no_foreign_task_may_be_inserted(count):
    event = ran({"W1-hog": raw()}, counters={"SCX_EV_INSERT_NOT_OWNED": count})
    assert survive(event) == [("reject", Code.FOREIGN_INSERT, "F08")] * count


@pytest.mark.parametrize(("work_ms", "bug"), [(800.0, "F19"), (799.0, "F36"), (801.0, "F19")])
def test_a_fifth_of_the_cpu_time_may_be_eaten_before_callbacks_are_blamed(work_ms, bug):
    words = ('sched_ext: BPF scheduler "x" disabled (runnable task stall)', "sched_ext: x: watchdog failed to check in")
    off = SchedState("disabled", "", 1)
    assert survive(ran({"W1-hog": raw(run_ms=1000.0, work_ms=work_ms)}, after=off, kmsg=words))[0][2] == bug


@pytest.mark.parametrize(
    ("gaps_ms", "start_ms", "everybody"),
    [
        ((1000.1, 1000.1, 1000.1, 0), 0, True),
        ((1000.1, 1000.1, 0, 0), 0, False),
        ((1000.1, 1000.1, 1000.0, 0), 0, False),
        ((1000.1,), 0, False),
        ((1000.1, 1000.1), 0, True),
        ((0,), 1000, False),
        ((0,), 1000.1, True),
    ],
)
def test_everybody_waited_where_most_kinds_of_threads_did_for_half_the_limit(gaps_ms, start_ms, everybody):
    groups = {f"W{i}-x": raw(gap_ms=gap) for i, gap in enumerate(gaps_ms)}
    assert everybody_waited(read_run(ran(groups, start_ms=start_ms)), LIMIT_MS) == everybody

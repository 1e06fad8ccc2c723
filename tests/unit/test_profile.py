# SPDX-License-Identifier: Apache-2.0
"""From the probe's report to a profile in numbers and words."""

import copy
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.profile import percentile, profile_job, read_profile
from benchmarks.profile_jobs import name_key
from benchmarks.workloads import workload
from policy_lake.errors import InfraError, InputError
from policy_lake.events import Ran, SchedState, Watch
from policy_lake.guest import GuestReport
from policy_lake.profile import JobProfile

BATCH_OUT = {"makespan_ms": 1740.0, "mean_end_ms": 950.0, "bound_ms": 1330.0}
SHORT = {
    "comm": "batch-short", "tasks": 39, "cpu_ns": 1_755_000_000, "cpu_ns_max_task": 54_000_000,
    "wait_ns": 33_000_000_000, "sleep_ns": 400_000_000, "wakeups": 40, "switches": 700,
    "burst_log2_us": [0] * 11 + [100, 500, 100], "wait_log2_us": [0] * 15 + [200, 400],
}  # fmt: skip
LONG = SHORT | {"comm": "batch-long", "tasks": 1, "cpu_ns": 900_000_000, "cpu_ns_max_task": 900_000_000, "wakeups": 1}
PARENT = SHORT | {"comm": "batch", "tasks": 1, "cpu_ns": 12_000_000, "cpu_ns_max_task": 12_000_000}
JOBS = [
    {
        "by": "name",
        "key": "18446744073709551615",
        "tasks": 1,
        "cpu_ns": 900_000_000,
        "cpu_ns_max_task": 900_000_000,
        "squares": 188_000_000,
    },
    {
        "by": "arguments",
        "key": "0",
        "tasks": 2,
        "cpu_ns": 1_000_000_000,
        "cpu_ns_max_task": 900_000_000,
        "squares": 190_921_283,
    },
]
SEEN = {
    "wall_ns": 1_750_000_000, "cpus": 2, "exit": 0, "commands": [PARENT, SHORT, LONG], "jobs": JOBS,
    "out": json.dumps(BATCH_OUT),
}  # fmt: skip
OFF = SchedState("disabled", "", 0)


def report(seen=SEEN, **changes):
    out = "attached\n" + (seen if isinstance(seen, str) else json.dumps(seen)) + "\n"
    event = Ran(
        label="observe", ok=True, seconds=2.0, exit=0, signal=0, timed_out=False, ended=True, dropped=0,
        out=out, err="", sched=Watch(OFF, OFF, 9, 9),
    )  # fmt: skip
    return GuestReport(events=(replace(event, **changes),), kernel="7.3.4", accel="tcg", seconds=6.0, console="")


def test_the_job_runs_the_workload_under_the_probe():
    (step,) = profile_job(workload("batch"), seed=5, accel="tcg").steps
    assert step.verb == "run"
    assert step.args[:2] == ("observe", "/bin/batch")
    assert step.args[-4:] == ("--seed", "5", "--footprint-kib", "64")
    assert step.timeout_s == workload("batch").timeout_s


def test_a_name_that_is_not_ascii_is_read_from_its_bytes():
    named = [PARENT | {"comm": "çıkış".encode().decode("latin-1")}, SHORT | {"comm": "\xff"}]
    profile = read_profile(workload("batch"), report(SEEN | {"commands": named}))
    assert {command.comm for command in profile.commands} == {"çıkış", r"\xff"}


def test_the_numbers():
    profile = read_profile(workload("batch"), report())
    assert (profile.workload, profile.cpus, profile.wall_s) == ("batch", 2, 1.75)
    assert profile.cpu_s == pytest.approx(2.667)
    assert profile.parallelism == pytest.approx(2.667 / 1.75)
    assert profile.wakeups_per_s == pytest.approx(81 / 1.75)
    assert [command.comm for command in profile.commands] == ["batch-short", "batch-long", "batch"]
    short = profile.commands[0]
    assert (short.tasks, short.cpu_ms, short.cpu_ms_max_task, short.switches) == (39, 1755, 54, 700)
    assert 2**12 < short.burst_us_p50 < 2**13
    assert 2**16 < short.wait_us_p99 < 2**17


def test_jobs_by_what_tells_them_apart():
    one, two = read_profile(workload("batch"), report()).jobs
    assert one == JobProfile("name", "18446744073709551615", 1, 900.0, 900.0, 0.0), "a task alone differs from nobody"
    assert (two.by, two.key, two.tasks, two.cpu_ms, two.cpu_ms_max_task) == ("arguments", "0", 2, 1000.0, 900.0)
    assert two.cpu_ms_sd == pytest.approx(400.0, rel=1e-3)  # of 900 ms and 100 ms
    alike = JOBS[1] | {"squares": 1}
    assert read_profile(workload("batch"), report(SEEN | {"jobs": [alike]})).jobs[0].cpu_ms_sd == 0.0


@pytest.mark.parametrize(
    ("jobs", "said"),
    [
        ({}, "field 'jobs'"),
        ([7], "job 0: is not an object"),
        ([JOBS[0], JOBS[1] | {"by": "colour"}], "job 1: field 'by' must be one of name, arguments,"),
        ([JOBS[0] | {"key": "-1"}], "field 'key' must be a number of 64 bits"),
        ([JOBS[0] | {"key": ""}], "field 'key' must"),
        ([JOBS[0] | {"key": "²"}], "field 'key' must"),
        ([JOBS[0] | {"key": str(2**64)}], "field 'key' must"),
        ([JOBS[0] | {"key": "0" * 21}], "field 'key' must"),
        ([JOBS[0] | {"tasks": 0}], "field 'tasks'"),
        ([JOBS[0] | {"squares": -1}], "field 'squares'"),
        (JOBS * 196, "field 'jobs' has 392 rows, more than 390"),
    ],
)
def test_nonsense_of_jobs_is_named(jobs, said):
    with pytest.raises(InfraError, match=said):
        read_profile(workload("batch"), report(SEEN | {"jobs": jobs}))


@pytest.mark.parametrize("field", list(JOBS[0]))
def test_a_missing_field_of_a_job_is_named(field):
    job = {name: value for name, value in JOBS[1].items() if name != field}
    with pytest.raises(InfraError, match=f"job 1: field '{field}' is missing"):
        read_profile(workload("batch"), report(SEEN | {"jobs": [JOBS[0], job]}))


def test_the_words_say_who_competes_and_what_for():
    text = read_profile(workload("batch"), report()).text
    assert "40 tasks compete for 2 CPUs" in text  # the parent, with half a percent of the CPU time, does not
    assert "One 'batch-long' uses 900 ms of CPU, 20x the mean of the others" in text
    assert "39 'batch-short' use 45 ms of CPU each" in text
    assert "runs alone at the end" in text
    assert "Goal: Shorten the makespan" in text
    assert "makespan_ms (lower is better), 1740 ms in this run against an arithmetic bound of 1330 ms" in text
    assert "\n" not in text


def test_the_words_for_tasks_that_sleep_and_wake():
    sleeper = SHORT | {"comm": "wakeup-sleeper", "tasks": 8, "cpu_ns": 160_000_000, "wakeups": 1600}
    hog = LONG | {"comm": "wakeup-hog", "tasks": 4, "cpu_ns": 2_600_000_000, "cpu_ns_max_task": 660_000_000}
    out = json.dumps({"p99_us": 6100.0, "p50_us": 250.0, "hog_blocks_per_s": 1e7})
    text = read_profile(workload("wakeup"), report(SEEN | {"commands": [sleeper, hog], "out": out})).text
    assert "12 tasks compete for 2 CPUs" in text
    assert "8 'wakeup-sleeper' use 20 ms of CPU each, waking 114 times a second each" in text
    assert "'wakeup-hog' use 650 ms of CPU each" in text and "hardly a sleep" in text
    assert "runs alone at the end" not in text
    assert "Not to be paid with p50_us (lower is better, at most 1.5x worse), hog_blocks_per_s (higher" in text
    assert "is better, at most 1.1x worse)." in text


def test_reading_twice_gives_the_same_id_and_other_numbers_another():
    batch = workload("batch")
    assert read_profile(batch, report()) == read_profile(batch, report())
    assert read_profile(batch, report()).id != read_profile(batch, report(SEEN | {"wall_ns": 1_751_000_000})).id


@pytest.mark.parametrize("field", list(SEEN))
def test_a_missing_field_is_named(field):
    seen = {name: value for name, value in SEEN.items() if name != field}
    with pytest.raises(InfraError, match=f"field '{field}' is missing"):
        read_profile(workload("batch"), report(seen))


@pytest.mark.parametrize("field", list(SHORT))
def test_a_missing_field_of_a_command_is_named(field):
    seen = copy.deepcopy(SEEN)
    del seen["commands"][1][field]
    with pytest.raises(InfraError, match=f"command 1: field '{field}' is missing"):
        read_profile(workload("batch"), report(seen))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"wall_ns": 0}, "wall_ns"),
        ({"wall_ns": float("nan")}, "wall_ns"),
        ({"cpus": 0}, "cpus"),
        ({"cpus": 10**400}, "cpus"),
        ({"cpus": "2"}, "cpus"),
        ({"commands": []}, "commands"),
        ({"commands": {}}, "commands"),
        ({"commands": [SHORT | {"cpu_ns": -5}]}, "cpu_ns"),
        ({"commands": [SHORT | {"tasks": True}]}, "tasks"),
        ({"commands": [SHORT | {"burst_log2_us": [1, -1]}]}, "burst_log2_us"),
        ({"commands": [SHORT | {"wait_log2_us": [0] * 65}]}, "wait_log2_us"),
        ({"wall_ns": 10**400}, "wall_ns"),
    ],
)
def test_a_nonsense_field_is_named(change, field):
    with pytest.raises(InfraError, match=f"field '{field}'"):
        read_profile(workload("batch"), report(SEEN | change))


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"timed_out": True}, InfraError, "did not end in time"),
        ({"signal": 9}, InfraError, "signal 9"),
        ({"exit": 1, "out": "", "err": "no BPF here\n"}, InfraError, "exited with 1: no BPF here"),
        ({"out": "half a li"}, InfraError, "not a JSON object"),
        ({"sched": Watch(replace(OFF, state="enabled"), OFF, 9, 9)}, InfraError, "not 'disabled'"),
    ],
)
def test_a_run_that_failed(changes, error, words):
    with pytest.raises(error, match=words):
        read_profile(workload("batch"), report(**changes))


def test_a_workload_that_fails_by_itself_is_the_callers_to_mend():
    with pytest.raises(InputError, match="batch exited with 2: batch: unknown option"):
        read_profile(workload("batch"), report(SEEN | {"exit": 2}, exit=2, err="batch: unknown option '--x'\n"))
    with pytest.raises(InputError, match="field 'makespan_ms' is missing"):
        read_profile(workload("batch"), report(SEEN | {"out": '{"bound_ms": 3}'}))


def test_no_event_at_all():
    with pytest.raises(InfraError, match="did not report a run"):
        read_profile(workload("batch"), GuestReport((), "7.3.4", "tcg", 6.0, ""))


@given(st.lists(st.integers(0, 1000), max_size=40), st.floats(0.01, 1), st.floats(0.01, 1))
def test_percentiles_rise_and_stay_within_the_buckets(counts, one, other):
    low, high = sorted((one, other))
    assert percentile(counts, low) <= percentile(counts, high)
    if any(counts):
        used = [index for index, count in enumerate(counts) if count]
        assert 2 ** used[0] <= percentile(counts, low) <= percentile(counts, high) <= 2 ** (used[-1] + 1)


def test_percentile_of_known_histograms():
    assert percentile([0, 0, 10], 0.5) == pytest.approx(2**2.5)
    assert percentile([99, 0, 0, 1], 0.99) == pytest.approx(2)
    assert percentile([], 0.5) == 0


def test_the_replayer_is_no_command_of_the_user_s():
    replayer = PARENT | {"comm": "replay"}
    named = {**JOBS[0], "key": name_key("replay")}
    seen = SEEN | {"commands": [replayer, SHORT], "jobs": [*JOBS, named]}
    recorded = replace(workload("batch"), trace="/x/trace.parquet")
    profile = read_profile(recorded, report(seen))
    assert [command.comm for command in profile.commands] == ["batch-short"]
    assert profile.cpu_s == pytest.approx(1.755) and [job.key for job in profile.jobs] == [job["key"] for job in JOBS]
    assert "replay" not in profile.text
    own = read_profile(workload("batch"), report(seen))  # a program of that name which is no replay
    assert {command.comm for command in own.commands} == {"replay", "batch-short"} and len(own.jobs) == 3
    two = seen | {"commands": [replayer | {"tasks": 2}, SHORT]}
    assert {command.comm for command in read_profile(recorded, report(two)).commands} == {"replay", "batch-short"}

# SPDX-License-Identifier: Apache-2.0
"""The guest's workload programs, which run on any Linux."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from makespan import makespan_bound

from benchmarks.programs import program_sources
from benchmarks.workloads import workload

GUEST = Path(__file__).parents[2] / "benchmarks" / "guest"
PROGRAMS = ("batch", "forkjoin", "mixed", "wakeup")
# Little of everything that mixed can do.
MIXED = ("--servers", 2, "--requests", 20, "--gap-us", 1000, "--request-work", 100, "--batch-per-cpu", 1,
         "--builds", 2, "--build-work", 1000, "--cron-ms", 5, "--cron-jobs", 2, "--cron-work", 500)  # fmt: skip


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guest")
    sources = program_sources()
    for name in PROGRAMS:
        flags = ["-static", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread"]
        subprocess.run(["gcc", *flags, "-o", folder / name, *sources[name]], check=True)
    return folder


def run(program, *args):
    return subprocess.run([program, *map(str, args)], capture_output=True, text=True, timeout=60, check=False)


def test_batch_does_its_work_and_tells_its_bound(programs):
    done = run(programs / "batch", "--jobs", 5, "--short-work", 20000, "--long-factor", 4, "--seed", 3)
    assert done.returncode == 0, done.stderr
    out = json.loads(done.stdout)
    assert [job["comm"] for job in out["jobs"]] == ["batch-short"] * 4 + ["batch-long"]
    assert out["ok"] and all(job["ok"] for job in out["jobs"])
    bound = makespan_bound([job["cpu_ms"] for job in out["jobs"]], out["cpus"])
    assert out["bound_ms"] == pytest.approx(bound, abs=0.01)
    assert out["makespan_ms"] == max(job["end_ms"] for job in out["jobs"])
    assert out["makespan_ms"] >= 0.9 * out["bound_ms"]


def test_the_seed_alone_draws_the_work_and_the_long_job_is_as_many_times_the_mean_short_one(programs):
    def blocks(seed):
        out = json.loads(run(programs / "batch", "--short-work", 100, "--long-factor", 16, "--seed", seed).stdout)
        return [job["blocks"] for job in out["jobs"]]

    *short, long = blocks(5)
    assert len(short) == 39 and min(short) >= 80 and max(short) <= 120 and len(set(short)) > 10
    assert long == sum(short) // len(short) * 16
    assert blocks(5) == [*short, long] != blocks(6)


def test_wrong_results_are_found_out(tmp_path):
    """The checksum is worth something: a build that does one block too few fails every job, and so the run."""
    source = (GUEST / "work.h").read_text()
    skipping = source.replace("for (; blocks; blocks--)", "for (; blocks > 1; blocks--)")
    assert skipping != source
    for file in (*GUEST.glob("*.h"), *(source for name in PROGRAMS for source in program_sources()[name])):
        shutil.copy(file, tmp_path)
    (tmp_path / "work.h").write_text(skipping)
    for name, options in {
        "batch": ["--short-work", 1000],
        "forkjoin": ["--stages", 1, "--longest-work", 1000],
        "mixed": ["--requests", 2],
        "wakeup": ["--wakeups", 2, "--think-us", 100],
    }.items():
        sources = program_sources(tmp_path)[name]
        subprocess.run(["gcc", "-O2", "-D_GNU_SOURCE", "-pthread", "-o", tmp_path / name, *sources], check=True)
        done = run(tmp_path / name, *options)
        assert done.returncode == 1
        assert json.loads(done.stdout)["ok"] is False


@pytest.mark.parametrize(
    ("wrong", "of"),
    [
        ("_exit(x == work_expected(first, looks", "batch"),
        ("_exit(work_run(drawn, size) == work_expected(drawn, work_done(size))", "build"),
        ("_exit(work_run(drawn, size) == work_expected(drawn, work_done(size))", "cron"),
    ],
)
def test_a_process_of_the_background_that_fails_fails_the_run(tmp_path, wrong, of):
    for file in (*GUEST.glob("*.h"), *program_sources()["mixed"]):
        shutil.copy(file, tmp_path)
    source = (tmp_path / "mixed_background.c").read_text()
    assert source.count(wrong) == 1
    (tmp_path / "mixed_background.c").write_text(source.replace(wrong, wrong.replace("==", "!=")))
    program = tmp_path / "mixed"
    subprocess.run(["gcc", "-D_GNU_SOURCE", "-o", program, *program_sources(tmp_path)["mixed"]], check=True)
    beside = {"batch": ["--batch-per-cpu", 1], "build": ["--builds", 1], "cron": ["--cron-ms", 5]}
    some = ["--servers", 1, "--requests", 20, "--gap-us", 2000, "--request-work", 1, "--batch-per-cpu", 0]
    assert run(program, *some).returncode == 0
    done = run(program, *some, *beside[of])
    assert (done.returncode, json.loads(done.stdout)["ok"]) == (1, False)


def test_wakeup_measures_every_wake_up(programs):
    done = run(programs / "wakeup", "--sleepers", 3, "--wakeups", 20, "--think-us", 500, "--hogs-per-cpu", 1)
    assert done.returncode == 0, done.stderr
    out = json.loads(done.stdout)
    assert out["ok"] and out["wakeups"] == 60
    assert 0 < out["p50_us"] <= out["p90_us"] <= out["p99_us"] <= out["max_us"]
    assert out["hog_blocks_per_s"] > 0


def test_forkjoin_s_stages_are_as_long_as_their_parts_and_never_shorter_than_the_bound(programs):
    done = run(programs / "forkjoin", "--stages", 3, "--parts", 5, "--longest-work", 40000)
    assert done.returncode == 0, done.stderr
    out = json.loads(done.stdout)
    assert out["ok"] and (out["stages"], out["parts"]) == (3, 5)
    assert out["cpu_ms"] / out["cpus"] <= out["bound_ms"] + 0.01 <= out["makespan_ms"] + 0.01
    if out["cpus"] > 1:  # the longest of 5 has about 1 of 1.76
        assert 0.45 * out["cpu_ms"] < out["bound_ms"] < 0.9 * out["cpu_ms"]
    assert 0 < out["mean_end_ms"] < out["makespan_ms"] and out["mean_wait_us"] > 0
    alone = json.loads(run(programs / "forkjoin", "--stages", 3, "--parts", 1, "--longest-work", 40000).stdout)
    assert alone["bound_ms"] == pytest.approx(alone["cpu_ms"], abs=0.01)


def test_forkjoin_s_longest_part_has_a_tail_of_others_behind_it(programs):
    """Of 12 parts the longest has 1 of 2.05 of the work: on a CPU each, 1/r^1.5 for the rank r, give or take 20 %."""
    args = ("--stages", 40, "--longest-work", 30000)
    one, twelve = (
        json.loads(run(programs / "forkjoin", *args, "--parts", parts).stdout)["cpu_ms"] for parts in (1, 12)
    )
    assert twelve / one == pytest.approx(sum(rank**-1.5 for rank in range(1, 13)), rel=0.25)


def test_mixed_counts_requests_from_when_they_were_due(programs):
    done = run(programs / "mixed", *MIXED)
    assert done.returncode == 0, done.stderr
    out = json.loads(done.stdout)
    assert out["ok"] and out["requests"] == 40
    assert 0 < out["bound_us"] <= out["request_p99_us"] <= out["request_max_us"]
    assert 0 < out["request_p50_us"] <= out["request_p90_us"] <= out["request_p99_us"]
    assert out["requests_per_s"] == pytest.approx(40 / out["wall_ms"] * 1000, rel=0.01)
    assert min(out[name] for name in ("batch_blocks_per_s", "builds_per_s", "cron_bursts", "cron_mean_ms")) > 0


def test_mixed_s_requests_wait_for_those_before_them(programs):
    """One server that is asked for far more than it can do: the last of 50 requests waits for nearly all of them."""
    args = ("--servers", 1, "--gap-us", 1, "--request-work", 10000, "--batch-per-cpu", 0)
    one, out = (json.loads(run(programs / "mixed", *args, "--requests", requests).stdout) for requests in (1, 50))
    assert out["request_max_us"] == pytest.approx(out["wall_ms"] * 1000, rel=0.1)
    assert out["bound_us"] > 20 * one["bound_us"]
    assert (out["batch_blocks_per_s"], out["builds_per_s"], out["cron_bursts"], out["cron_mean_ms"]) == (0, 0, 0, 0)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("args", [["--nonsense", 1], ["--seed"], ["--seed", "-1"], ["--seed", "1x"], ["--seed", ""]])
def test_wrong_options_are_told_in_one_line(programs, program, args):
    done = run(programs / program, *args)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_the_metrics_that_descriptors_name_are_printed(programs):
    small = {
        "batch": ["--jobs", 3, "--short-work", 100],
        "wakeup": ["--wakeups", 2, "--think-us", 100],
        "forkjoin": ["--stages", 1, "--longest-work", 100],
        "server-batch": ["--requests", 2],
        "mixed": MIXED,
    }
    for id, options in small.items():
        described = workload(id)
        out = json.loads(run(programs / described.program, *options).stdout)
        wanted = {described.metric, *(guard.metric for guard in described.guards), *filter(None, [described.bound])}
        assert wanted <= set(out)

# SPDX-License-Identifier: Apache-2.0
"""The guest's workload programs, which run on any Linux."""

import json
import subprocess
from pathlib import Path

import pytest
from makespan import makespan_bound

from benchmarks.programs import program_sources
from benchmarks.workloads import workload

GUEST = Path(__file__).parents[2] / "benchmarks" / "guest"


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guest")
    sources = program_sources()
    for name in ("batch", "wakeup"):
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
    (tmp_path / "work.h").write_text(skipping)
    for header in ("jobs.h", "kept.h"):
        (tmp_path / header).write_text((GUEST / header).read_text())
    for name, options in (("batch", ["--short-work", 1000]), ("wakeup", ["--wakeups", 2, "--think-us", 100])):
        (tmp_path / f"{name}.c").write_text((GUEST / f"{name}.c").read_text())
        subprocess.run(["gcc", "-O2", "-pthread", "-o", tmp_path / name, tmp_path / f"{name}.c"], check=True)
        done = run(tmp_path / name, *options)
        assert done.returncode == 1
        assert json.loads(done.stdout)["ok"] is False


def test_wakeup_measures_every_wake_up(programs):
    done = run(programs / "wakeup", "--sleepers", 3, "--wakeups", 20, "--think-us", 500, "--hogs-per-cpu", 1)
    assert done.returncode == 0, done.stderr
    out = json.loads(done.stdout)
    assert out["ok"] and out["wakeups"] == 60
    assert 0 < out["p50_us"] <= out["p90_us"] <= out["p99_us"] <= out["max_us"]
    assert out["hog_blocks_per_s"] > 0


@pytest.mark.parametrize("program", ["batch", "wakeup"])
@pytest.mark.parametrize("args", [["--nonsense", 1], ["--seed"], ["--seed", "-1"], ["--seed", "1x"], ["--seed", ""]])
def test_wrong_options_are_told_in_one_line(programs, program, args):
    done = run(programs / program, *args)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_the_metrics_that_descriptors_name_are_printed(programs):
    small = {
        "batch": ["--jobs", 3, "--short-work", 100],
        "wakeup": ["--wakeups", 2, "--think-us", 100],
    }
    for id, options in small.items():
        described = workload(id)
        out = json.loads(run(programs / described.program, *options).stdout)
        wanted = {described.metric, *(guard.metric for guard in described.guards), *filter(None, [described.bound])}
        assert wanted <= set(out)

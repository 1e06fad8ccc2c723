# SPDX-License-Identifier: Apache-2.0
"""Descriptors, and the guest's workload programs, which run on any Linux."""

import json
import subprocess
from pathlib import Path

import pytest
from trace_cases import parent_and_child

from benchmarks.programs import program_sources
from benchmarks.statistics import makespan_bound
from benchmarks.trace_file import write_trace
from benchmarks.trace_program import program
from benchmarks.workloads import (
    TIERS,
    arguments,
    asking,
    at_tier,
    descriptor_sha256,
    job_files,
    tiers_of,
    workload,
    workload_ids,
)
from policy_lake.model import InputError

GUEST = Path(__file__).parents[2] / "benchmarks" / "guest"
MINE = """
id = "mine"
title = "Mine"
goal = "Be quick."
program = "batch"
args = ["--jobs", "{jobs}", "--seed", "{seed}"]
metric = "makespan_ms"
unit = "ms"
direction = "lower"
timeout_s = 5
cpus = 4
[work.all]
jobs = 8
"""


GUARD = 'jobs = 8\n[[guards]]\nmetric = "{}"\nunit = "us"\ndirection = "lower"\n{}'


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


def write(tmp_path, text, name="mine.toml"):
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def test_every_workload_of_the_project_reads_and_fills_its_arguments():
    assert {"batch", "wakeup"} <= set(workload_ids())
    for id in workload_ids():
        one = workload(id)
        assert tiers_of(one) == TIERS and one.family != "own", "each of ours says how long it takes, in every size"
        assert one.runs_s["smoke"] < one.runs_s["standard"] < one.runs_s["full"]
        assert one.program in program_sources()
        for accel in ("tcg", "kvm"):
            for tier in TIERS:
                filled = arguments(one, seed=7, accel=accel, tier=tier)
                assert not any("{" in arg for arg in filled)
                assert "7" in filled


def test_a_program_may_have_several_sources(tmp_path):
    for name in ("one", "one_part", "one_part_more", "two_alone", "three", "three_x"):
        (tmp_path / f"{name}.c").touch()
    found = {name: [source.stem for source in sources] for name, sources in program_sources(tmp_path).items()}
    assert found == {
        "one": ["one", "one_part", "one_part_more"], "two_alone": ["two_alone"], "three": ["three", "three_x"],
    }  # fmt: skip


def test_a_tier_overrides_the_accelerator_and_that_what_is_for_all(tmp_path):
    text = MINE.replace("jobs = 8", "jobs = 8\n[work.tcg]\njobs = 9\n[work.smoke]\njobs = 2\n[work.full]\nother = 1")
    described = workload(write(tmp_path, text))
    asked = {(accel, tier): arguments(described, seed=1, accel=accel, tier=tier)[1]
             for accel in ("tcg", "kvm") for tier in TIERS}  # fmt: skip
    assert asked == {
        ("tcg", "smoke"): "2", ("tcg", "standard"): "9", ("tcg", "full"): "9",
        ("kvm", "smoke"): "2", ("kvm", "standard"): "8", ("kvm", "full"): "8",
    }  # fmt: skip


def test_numbers_of_the_users_are_in_place_of_the_tiers(tmp_path):
    described = workload(write(tmp_path, MINE.replace("jobs = 8", "jobs = 8\n[work.smoke]\njobs = 2")))
    smoke = asking(at_tier(described, "smoke"), "jobs=3")
    assert arguments(smoke, seed=1, accel="tcg")[1] == "3" and smoke.asked == {"jobs": 3}
    assert descriptor_sha256(smoke) != descriptor_sha256(at_tier(described, "smoke"))
    assert asking(described, "") == described


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("job=3", "workload 'mine' has no number 'job': it has jobs"),
        ("jobs", "workload 'mine', number 'jobs': '' is not a whole number from 0 on"),
        ("jobs=-1", "workload 'mine', number 'jobs': '-1' is not a whole number from 0 on"),
        ("jobs=²", "workload 'mine', number 'jobs': '²' is not a whole number from 0 on"),
    ],
)
def test_a_number_that_is_none_is_told(tmp_path, words, reason):
    with pytest.raises(InputError) as caught:
        asking(workload(write(tmp_path, MINE)), words)
    assert str(caught.value) == reason


def test_a_tier_may_be_another_program(tmp_path):
    real = '[instead.full]\nprogram = "build"\nargs = ["{jobs}"]\nroot = "kernel-source"\nmemory_mib = 3000\n'
    guards = '[[instead.full.guards]]\nmetric = "delay"\nunit = "us"\ndirection = "lower"\n'
    described = workload(write(tmp_path, MINE + real + guards))
    full, standard = (at_tier(described, tier) for tier in ("full", "standard"))
    assert (full.program, full.args, full.root, full.memory_mib) == ("build", ("{jobs}",), "kernel-source", 3000)
    assert [guard.metric for guard in full.guards] == ["delay"]
    assert (standard.program, standard.root, standard.guards) == ("batch", "", ())
    assert arguments(full, seed=1, accel="tcg") == ("8",)


def test_a_longer_tier_has_as_much_more_time(tmp_path):
    sized = MINE.replace("cpus = 4", "cpus = 4\nruns_s = { standard = 2.0, full = 30.0 }")
    described = workload(write(tmp_path, sized))
    assert tiers_of(described) == ("standard", "full")
    assert (described.tier, described.timeout_s) == ("standard", 5)
    assert (at_tier(described, "full").tier, at_tier(described, "full").timeout_s) == ("full", 75)
    assert at_tier(described, "standard") == described
    with pytest.raises(InputError, match="workload 'mine' has no tier 'smoke': it has standard, full"):
        at_tier(described, "smoke")
    of_one_size = workload(write(tmp_path, MINE))
    assert at_tier(of_one_size, "full").timeout_s == 5


def test_equal_descriptors_have_equal_hashes_wherever_they_lie(tmp_path):
    (tmp_path / "other").mkdir()
    here, there = workload(write(tmp_path, MINE)), workload(write(tmp_path / "other", MINE))
    assert here.file != there.file and descriptor_sha256(here) == descriptor_sha256(there)
    changed = workload(write(tmp_path, MINE.replace("jobs = 8", "jobs = 9")))
    assert descriptor_sha256(changed) != descriptor_sha256(here) != descriptor_sha256(at_tier(here, "smoke"))


def test_a_recorded_trace_goes_with_the_job(tmp_path):
    text = MINE.replace('program = "batch"', 'program = "replay"\ntrace = "mine.trace"').replace(
        '"--jobs", "{jobs}"', '"{trace}"'
    )
    path = write(tmp_path, text)
    with pytest.raises(InputError, match=r"field 'trace': .*mine\.trace is not a file"):
        workload(path)
    write_trace(parent_and_child(), tmp_path / "mine.trace")
    described = workload(path)
    assert arguments(described, seed=3, accel="tcg") == ("mine.trace", "--seed", "3")
    assert dict(job_files(described)) == {"mine.trace": program(parent_and_child())}
    before = descriptor_sha256(described)
    (tmp_path / "mine.trace").write_bytes(b"recorded anew")
    assert descriptor_sha256(described) != before
    with pytest.raises(InputError, match=r"mine\.trace: not a trace"):
        job_files(described)


def test_an_accelerator_has_work_of_its_own():
    batch = workload("batch")
    assert arguments(batch, seed=1, accel="tcg") != arguments(batch, seed=1, accel="kvm")


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_that_the_programs_cannot_read_is_refused(seed):
    with pytest.raises(InputError, match="seed must be from 0"):
        arguments(workload("batch"), seed=seed, accel="tcg")


def test_a_users_own_file(tmp_path):
    mine = workload(write(tmp_path, MINE))
    assert (mine.id, mine.cpus, mine.bound, mine.guards) == ("mine", 4, "", ())
    assert arguments(mine, seed=3, accel="tcg") == ("--jobs", "8", "--seed", "3")


def test_an_unknown_id_names_the_known_ones():
    with pytest.raises(InputError, match=r"no workload 'bathc': known are batch, .*wakeup"):
        workload("bathc")


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ('metric = "makespan_ms"', "", "metric"),
        ('metric = "makespan_ms"', 'metric = " "', "metric"),
        ("timeout_s = 5", 'timeout_s = "5"', "timeout_s"),
        ("timeout_s = 5", "timeout_s = nan", "timeout_s"),
        ("timeout_s = 5", "timeout_s = -1", "timeout_s"),
        ("timeout_s = 5", "timeout_s = 2026-11-22", "timeout_s"),
        ("cpus = 4", "cpus = true", "cpus"),
        ("cpus = 4", "cpus = 0", "cpus"),
        ("cpus = 4", "cpsu = 4", "cpus"),
        ("cpus = 4", "cpus = 4\nspeed = 3", "speed"),
        ('direction = "lower"', 'direction = "down"', "direction"),
        ('direction = "lower"', 'direction = "higher"\nbound = "bound_ms"', "bound"),
        ("jobs = 8", "jobs = 1.5", "work.all.jobs"),
        ("jobs = 8", "jobs = -8", "work.all.jobs"),
        ("jobs = 8", "", "args"),
        ('program = "batch"', 'program = "../batch"', "program"),
        ("[work.all]", "[work.xen]", "work.xen"),
        ("[work.all]", "[work.smoke]", "args"),
        ("cpus = 4", 'cpus = 4\nfamily = "batches"', "family"),
        ("cpus = 4", "cpus = 4\nruns_s = { smoke = 1.0 }", "runs_s"),
        ("cpus = 4", "cpus = 4\nruns_s = { standard = 0.0 }", "runs_s.standard"),
        ("cpus = 4", "cpus = 4\nruns_s = { standard = '1' }", "runs_s.standard"),
        ("cpus = 4", "cpus = 4\nruns_s = { standard = 1.0, huge = 9.0 }", "runs_s.huge"),
        ("cpus = 4", "cpus = 4\nruns_s = { standard = 6.0 }", "timeout_s"),
        ("cpus = 4", 'cpus = 4\ntier = "full"', "tier"),
        ("cpus = 4", 'cpus = 4\nfile = "x"', "file"),
        ("cpus = 4", 'cpus = 4\ntrace = "x"', "trace"),
        ('program = "batch"', 'program = "replay"', "trace"),
        ("jobs = 8", GUARD.format("p", "limit = 0.9"), "guards.0.limit"),
        ("jobs = 8", GUARD.format("p", 'limit = "2"'), "guards.0.limit"),
        ("jobs = 8", GUARD.format("", ""), "guards.0.metric"),
        ("jobs = 8", GUARD.format("makespan_ms", ""), "guards.0.metric"),
        ('id = "mine"', 'id = "Mine"', "id"),
        ('id = "mine"', 'id = "batch"', "id"),
        ("cpus = 4", 'cpus = 4\nroot = "debian"', "root"),
        ("jobs = 8", "jobs = 8\n[instead.huge]\nprogram = 'build'", "instead.huge"),
        ("jobs = 8", "jobs = 8\n[instead.full]\nmetric = 'x'", "instead.full.metric"),
        ("jobs = 8", "jobs = 8\n[instead.full]\nargs = ['{none}']", "args"),
        ("jobs = 8", "jobs = 8\n[instead.full]\nprogram = 'replay'", "instead.full.trace"),
        ("jobs = 8", "jobs = 8\n[instead.full]\nroot = 'debian'", "instead.full.root"),
        ("jobs = 8", 'jobs = 8\n[[guards]]\nmetric = "p"\nunit = "us"', "guards.0.direction"),
    ],
)
def test_a_bad_descriptor_names_the_file_and_the_field(tmp_path, old, new, field):
    assert old in MINE
    path = write(tmp_path, MINE.replace(old, new))
    with pytest.raises(InputError) as caught:
        workload(path)
    assert str(caught.value).startswith(f"{path}: field '{field}")
    assert "\n" not in str(caught.value)


def test_files_that_are_no_descriptor(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        workload(str(tmp_path / "none.toml"))
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        workload(f"{tmp_path}/")
    with pytest.raises(InputError, match="not valid TOML"):
        workload(write(tmp_path, "id = ["))
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a text file"):
        workload(str(tmp_path / "binary.toml"))


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
    (tmp_path / "jobs.h").write_text((GUEST / "jobs.h").read_text())
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

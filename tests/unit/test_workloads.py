# SPDX-License-Identifier: Apache-2.0
"""Descriptors of workloads: what is read, what is refused, and what a run of one is given."""

import os
import time

import pytest
from hostile import unseen
from trace_cases import parent_and_child

from benchmarks.programs import program_sources
from benchmarks.trace.file import write_trace
from benchmarks.trace.program import program
from benchmarks.workloads import (
    WORKLOAD_SIZES,
    arguments,
    asking,
    at_size,
    descriptor_sha256,
    job_files,
    sizes_of,
    workload,
    workload_ids,
)
from policy_lake.errors import InputError

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


def write(tmp_path, text, name="mine.toml"):
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def test_every_workload_of_the_project_reads_and_fills_its_arguments():
    assert {"batch", "wakeup"} <= set(workload_ids())
    for id in workload_ids():
        one = workload(id)
        assert sizes_of(one) == WORKLOAD_SIZES and one.family != "own", (
            "each of ours says how long it takes in every size"
        )
        assert one.runs_s["smoke"] < one.runs_s["standard"] < one.runs_s["full"]
        assert one.program in program_sources()
        for accel in ("tcg", "kvm"):
            for tier in WORKLOAD_SIZES:
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
             for accel in ("tcg", "kvm") for tier in WORKLOAD_SIZES}  # fmt: skip
    assert asked == {
        ("tcg", "smoke"): "2", ("tcg", "standard"): "9", ("tcg", "full"): "9",
        ("kvm", "smoke"): "2", ("kvm", "standard"): "8", ("kvm", "full"): "8",
    }  # fmt: skip


def test_numbers_of_the_users_are_in_place_of_the_tiers(tmp_path):
    described = workload(write(tmp_path, MINE.replace("jobs = 8", "jobs = 8\n[work.smoke]\njobs = 2")))
    smoke = asking(at_size(described, "smoke"), "jobs=3")
    assert arguments(smoke, seed=1, accel="tcg")[1] == "3" and smoke.asked == {"jobs": 3}
    assert descriptor_sha256(smoke) != descriptor_sha256(at_size(described, "smoke"))
    assert asking(described, "") == described


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("job=3", "workload 'mine' has no number 'job': it has jobs"),
        ("jobs", "workload 'mine', number 'jobs': '' is not a whole number from 0 to 1000000000000"),
        ("jobs=-1", "workload 'mine', number 'jobs': '-1' is not a whole number from 0 to 1000000000000"),
        ("jobs=²", "workload 'mine', number 'jobs': '²' is not a whole number from 0 to 1000000000000"),
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
    full, standard = (at_size(described, tier) for tier in ("full", "standard"))
    assert (full.program, full.args, full.root, full.memory_mib) == ("build", ("{jobs}",), "kernel-source", 3000)
    assert [guard.metric for guard in full.guards] == ["delay"]
    assert (standard.program, standard.root, standard.guards) == ("batch", "", ())
    assert arguments(full, seed=1, accel="tcg") == ("8",)


def test_a_longer_tier_has_as_much_more_time(tmp_path):
    sized = MINE.replace("cpus = 4", "cpus = 4\nruns_s = { standard = 2.0, full = 30.0 }")
    described = workload(write(tmp_path, sized))
    assert sizes_of(described) == ("standard", "full")
    assert (described.tier, described.timeout_s) == ("standard", 5)
    assert (at_size(described, "full").tier, at_size(described, "full").timeout_s) == ("full", 75)
    assert at_size(described, "standard") == described
    with pytest.raises(InputError, match="workload 'mine' has no tier 'smoke': it has standard, full"):
        at_size(described, "smoke")
    of_one_size = workload(write(tmp_path, MINE))
    assert at_size(of_one_size, "full").timeout_s == 5


def test_equal_descriptors_have_equal_hashes_wherever_they_lie(tmp_path):
    (tmp_path / "other").mkdir()
    here, there = workload(write(tmp_path, MINE)), workload(write(tmp_path / "other", MINE))
    assert here.file != there.file and descriptor_sha256(here) == descriptor_sha256(there)
    changed = workload(write(tmp_path, MINE.replace("jobs = 8", "jobs = 9")))
    assert descriptor_sha256(changed) != descriptor_sha256(here) != descriptor_sha256(at_size(here, "smoke"))


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


def test_a_named_pipe_a_device_and_a_huge_file_are_no_descriptor(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(InputError, match="no plain file"):
        workload(str(tmp_path / "pipe.toml"))
    (tmp_path / "zero.toml").symlink_to("/dev/zero")
    with pytest.raises(InputError, match="no plain file"):
        workload(str(tmp_path / "zero.toml"))
    with pytest.raises(InputError, match="larger than 64 KiB"):
        workload(write(tmp_path, "# " * 100_000))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("id = " + "[" * 30_000, "nested too deep"), ("id = " + "{a=" * 20_000, "nested too deep"),
        ("id = " + "[" * 300 + "]" * 300, "nested too deep|not valid|field"), ("a" + ".a" * 30_000 + " = 1", "dots"),
        ("[" + "a." * 30_000 + "a]", "dots"), ("id = " + "9" * 10_000, "not valid TOML"),
        ("id = 1e999", "field"), ("id = nan", "field"), ("id = 1979-05-27", "field"), ('id = "\\ud800"', "not valid"),
        ("\x1b = 1", "not valid TOML"), (MINE + '"\\u001b[31m" = 1', r"field 'work.all'"),
        ("id = '\x00'", "not valid TOML"),
    ],
)  # fmt: skip
def test_hostile_toml_is_one_line_and_soon(tmp_path, text, told):
    began = time.monotonic()
    with pytest.raises(InputError, match=told) as caught:
        workload(write(tmp_path, text))
    assert time.monotonic() - began < 3
    assert len(str(caught.value).splitlines()) == 1 and not unseen(str(caught.value)) and len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("cpus = 4", "cpus = 100000000", "field 'cpus': must be from 1 to 64, not 100000000"),
        ("jobs = 8", f"jobs = {10**23}", "field 'work.all.jobs': must be from 0 to 1000000000000, not a larger number"),
        ("jobs = 8", "jobs = 8\n" + "\n".join(f"n{i} = 1" for i in range(70)), "field 'work.all': has 71 entries"),
        ("jobs = 8", 'jobs = 8\n"\\u001b" = 1', r"field 'work.all': '\x1b' is no name of a number"),
        ("timeout_s = 5", "timeout_s = 1e300", "field 'timeout_s': must be from 0.1 to 604800 s, not a larger number"),
        ("cpus = 4", "cpus = 4\nmemory_mib = 1000000000", "field 'memory_mib': must be from 1 to 65536 MiB"),
        ('title = "Mine"', f'title = "{"a" * 5000}"', "field 'title': longer than 2000 characters"),
        ('unit = "ms"', f'unit = "{"m" * 65}"', "field 'unit': longer than 64 characters"),
        ('"--jobs"', r'"--jobs\t"', "field 'args': a character in it cannot be printed"),
        ('"--jobs"', ", ".join(['"x"'] * 70), "field 'args': has 73 entries, and 64 is the most"),
        ('id = "mine"', f'id = "{"m" * 101}"', "field 'id'"),
    ],
)
def test_numbers_and_texts_have_limits(tmp_path, old, new, told):
    with pytest.raises(InputError) as caught:
        workload(write(tmp_path, MINE.replace(old, new)))
    assert told in str(caught.value)


def test_a_number_asked_for_has_its_limit(tmp_path):
    for number in ("9" * 10_000, str(10**13)):
        with pytest.raises(InputError, match="is not a whole number from 0 to 1000000000000"):
            asking(workload(write(tmp_path, MINE)), f"jobs={number}")

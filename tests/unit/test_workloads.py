# SPDX-License-Identifier: Apache-2.0
"""Descriptors of workloads: what is read, and what a run of one is given."""

from dataclasses import replace

import pytest
from trace_cases import parent_and_child
from workload_cases import MINE, write

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


def test_a_descriptor_without_footprints_has_the_digest_that_it_had_before_there_were_any(tmp_path):
    before = "bda38aa2dfa113a861eb38bdeb4fb4b86b0bf39ee556b295970e9fa38979718a"
    assert descriptor_sha256(workload(write(tmp_path, MINE))) == before


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
    told = workload(write(tmp_path, text + "\n[footprints_kib]\nworker = 4096\n"))
    assert dict(job_files(told)) == {"mine.trace": program(parent_and_child(), {"worker": 4096})}
    assert descriptor_sha256(told) != before
    with pytest.raises(InputError, match=r"mine\.trace: a footprint of 'cc1', .* there are top, worker"):
        job_files(replace(told, footprints_kib={"cc1": 1}))
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

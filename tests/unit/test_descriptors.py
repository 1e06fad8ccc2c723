# SPDX-License-Identifier: Apache-2.0
"""Descriptors that are refused: each in one line that names the file and the field, and soon."""

import os
import time

import pytest
from hostile import unseen
from workload_cases import MINE, write

from benchmarks.workloads import (
    asking,
    workload,
)
from policy_lake.errors import InputError

GUARD = 'jobs = 8\n[[guards]]\nmetric = "{}"\nunit = "us"\ndirection = "lower"\n{}'


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
        ("jobs = 8", "jobs = 8\n[footprints_kib]\nworker = 4", "footprints_kib"),
        ("jobs = 8", "jobs = 8\n[footprints_kib]\nworker = 0", "footprints_kib.worker"),
        ("jobs = 8", "jobs = 8\n[footprints_kib]\nworker = 131073", "footprints_kib.worker"),
        ("jobs = 8", "jobs = 8\n[footprints_kib]\nworker = 1.5", "footprints_kib.worker"),
        ("jobs = 8", "jobs = 8\n[footprints_kib]\nsixteen-letters- = 4", "footprints_kib"),
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
        ("id = '\x00'", "not valid TOML"), ("id = 0x" + "f" * 4_000, "a number has too many digits"),
        (MINE.replace("cpus = 4", "cpus = 0x" + "f" * 9_000), "a number has too many digits"),
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

# SPDX-License-Identifier: Apache-2.0
"""Machines read from files: units, the project's own, and each kind of nonsense refused in one line with its field."""

from __future__ import annotations

import os
import time
from dataclasses import fields
from pathlib import Path

import pytest
from hostile import unseen
from machine_cases import MINE, NUMBERS, write

from benchmarks.machine_fields import Priced
from benchmarks.machine_file import read_machine
from benchmarks.machines import machine, machine_files
from policy_lake.errors import InputError
from policy_lake.machine_model import FLAT, Costs
from policy_lake.topology import Topology

PAIRS = MINE.partition("[sources]")


def test_units_of_people_become_those_of_the_model(tmp_path: Path) -> None:
    read = read_machine(write(tmp_path, MINE))
    assert read.name == "mine" and read.title == "Mine" and read.topology == Topology(16, 2, 2, 2)
    assert read.costs == Costs(
        user_ps=120, kernel_ps=600, switch_ns=300, l2_kib=512, llc_kib=16384, llc_mbps=40_000, memory_mbps=6_500,
        remote_mbps=3_250, node_mbps=44_000, beyond_llc=512, smt=640, turbo=(1024, 768),
        idle_exit=((1, 1000), (800, 22000)), capacity=(1024,) * 4 + (512,) * 4 + (1024,) * 4 + (512,) * 4,
        user_kib=128, kernel_kib=32,
    )  # fmt: skip
    assert read.sources["smt"] == "a book" and set(NUMBERS) == {one.name for one in fields(Priced)}


def test_what_is_not_given_costs_nothing(tmp_path: Path) -> None:
    text = 'name = "bare"\ntitle = "Bare"\n[topology]\ncpus = 3\n[sources]\ntopology = "counted"'
    assert read_machine(write(tmp_path, text)).costs == FLAT


def test_the_projects_own_are_read_and_are_the_kinds_that_they_are_called() -> None:
    own = {name: machine(name) for name in machine_files()}
    assert {"laptop", "desktop", "server", "sockets", "hybrid", "flat"} <= set(own)
    assert own["flat"].costs == FLAT
    lie = {name: one.topology for name, one in own.items()}
    assert lie["laptop"] == Topology(8) and lie["desktop"] == Topology(16, llcs=2, smt=2)
    assert lie["server"] == Topology(64, llcs=8) and lie["sockets"].nodes == 2
    assert len(set(own["hybrid"].costs.capacity)) == 2
    for one in own.values():
        assert all(len(source) > 5 for source in one.sources.values())


CASES = [
    ("user_ps = 120", "user_ps = 0", "user_ps"),
    ("user_ps = 120", "user_ps = -5", "user_ps"),
    ("user_ps = 120", "user_ps = 120.5", "user_ps"),
    ("user_ps = 120", "user_ps = true", "user_ps"),
    ("user_ps = 120", 'user_ps = "fast"', "user_ps"),
    ("user_ps = 120", "user_ps = 2026-11-27", "user_ps"),
    ("kernel_ps = 600", "kernel_ps = 999999999999999999999999", "kernel_ps"),
    ("switch_ns = 300", "switch_ns = -1", "switch_ns"),
    ("l2_kib = 512", "l2_kib = 0", "l2_kib"),
    ("l2_kib = 512", "l2_kib = 32768", "l2_kib"),
    ("l2_kib = 512", "l2_kib = 16384", "l2_kib"),
    ("kernel_ps = 600", "kernel_ps = 12001", "kernel_ps"),
    ("user_ps = 120", "user_ps = 60001", "kernel_ps"),
    ("[800, 22000]", "[800, 1000001]", "idle_exit.1"),
    ("[1, 1000], [800, 22000]", "[0, 200001]", "idle_exit.0"),
    ("llc_kib = 16384", "llc_kib = 1", "llc_kib"),
    ("llc_gbps = 40.0", "llc_gbps = 0", "llc_gbps"),
    ("llc_gbps = 40.0", "llc_gbps = nan", "llc_gbps"),
    ("llc_gbps = 40.0", "llc_gbps = inf", "llc_gbps"),
    ("turbo = [1.0, 0.75]", "turbo = []", "turbo"),
    ("idle_exit = [[1, 1000], [800, 22000]]", "idle_exit = []", "idle_exit"),
    ("llc_gbps = 40.0", "llc_gbps = 1e400", "llc_gbps"),
    ("memory_gbps = 6.5", "memory_gbps = 41.0", "memory_gbps"),
    ("memory_gbps = 6.5", "memory_gbps = -6.5", "memory_gbps"),
    ("remote_gbps = 3.25", "remote_gbps = 6.6", "remote_gbps"),
    ("node_gbps = 44.0", "node_gbps = 6.0", "memory_gbps"),
    ("beyond_llc = 0.5", "beyond_llc = 0", "beyond_llc"),
    ("beyond_llc = 0.5", "beyond_llc = 1.5", "beyond_llc"),
    ("smt = 0.625", "smt = 1.1", "smt"),
    ("smt = 0.625", "smt = 0.3", "smt"),
    ("turbo = [1.0, 0.75]", "turbo = [0.9, 0.75]", "turbo.0"),
    ("turbo = [1.0, 0.75]", "turbo = [1.0, 0.75, 0.8]", "turbo.2"),
    ("turbo = [1.0, 0.75]", "turbo = [1.0, nan]", "turbo.1"),
    ("turbo = [1.0, 0.75]", "turbo = 1.0", "turbo"),
    ("turbo = [1.0, 0.75]", "turbo = [1.0, 0.9, 0.9, 0.9, 0.9]", "turbo"),
    ("turbo = [1.0, 0.75]", "turbo = [" + "1, " * 65 + "]", "turbo"),
    ("[800, 22000]", "[1, 22000]", "idle_exit.1"),
    ("[800, 22000]", "[800, 900]", "idle_exit.1"),
    ("[800, 22000]", "[800]", "idle_exit.1.1"),
    ("[800, 22000]", "[800, 22000000]", "idle_exit.1"),
    ("[[1, 1000], [800, 22000]]", "[" + ", ".join(f"[{n}, {n}]" for n in range(17)) + "]", "idle_exit"),
    ("capacity = [1, 1,", "capacity = [1,", "capacity"),
    ("capacity = [1, 1,", "capacity = [1, 0.5,", "capacity.0"),
    ("user_kib = 128", "user_kib = -1", "user_kib"),
    ("user_kib = 128", "user_kb = 128", "costs.user_kb"),
    ("[costs]", "[prices]", "prices"),
    ("cpus = 16", "cpus = 65", "topology.cpus"),
    ("cpus = 16", "cpus = 15", "topology"),
    ("cpus = 16", "cpus = 1.5", "topology.cpus"),
    ("cpus = 16", "", "topology.cpus"),
    ("nodes = 2", "nodes = 3", "topology"),
    ("smt = 2", "smt = 1", "smt"),
    ('name = "mine"', 'name = "../mine"', "name"),
    ('name = "mine"', "", "name"),
    ('title = "Mine"', 'title = " "', "title"),
    ('title = "Mine"', f'title = "{"x" * 2001}"', "title"),
    ('switch_ns = "a book"', "", "sources.switch_ns"),
    ('switch_ns = "a book"', 'switch_ns = " "', "sources.switch_ns"),
    ('switch_ns = "a book"', "switch_ns = 3", "sources.switch_ns"),
    ('switch_ns = "a book"', f'switch_ns = "{"x" * 2001}"', "sources.switch_ns"),
    ('topology = "its label"', "", "sources.topology"),
    ("switch_ns = 300", "", "sources.switch_ns"),
    ("l2_kib = 512", "", "llc_gbps"),
    ("llc_gbps = 40.0", "", "l2_kib"),
    ("llc_kib = 16384", "", "memory_gbps"),
    ("memory_gbps = 6.5", "", "llc_kib"),
    ("remote_gbps = 3.25", "", "remote_gbps"),
    ("nodes = 2", "nodes = 1", "remote_gbps"),
]


@pytest.mark.parametrize(("old", "new", "field"), CASES, ids=[f"{field}: {new[:20]}" for _, new, field in CASES])
def test_each_kind_of_nonsense_is_one_line_with_file_and_field(tmp_path: Path, old: str, new: str, field: str) -> None:
    assert old in MINE
    path = write(tmp_path, MINE.replace(old, new, 1))
    with pytest.raises(InputError) as refused:
        read_machine(path)
    text = str(refused.value)
    # as it stands in the file, whoever finds it
    priced = field.partition(".")[0] in NUMBERS
    assert text.startswith(f"{path}: field '{'costs.' if priced else ''}{field}': "), text
    assert "\n" not in text and len(text) < 500 and refused.value.exit_status == 2


def test_64_numbers_may_stand_in_one_line_behind_a_byte_order_mark(tmp_path: Path) -> None:
    speeds = ", ".join(["1.0"] * 60 + ["0.5"] * 4)
    old = "[1, 1, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5]"
    text = MINE.replace(old, f"[{speeds}]").replace("cpus = 16", "cpus = 64")
    assert len(read_machine(write(tmp_path, "\ufeff" + text)).costs.capacity) == 64
    for keys in ("1.2 . " * 80 + "3 = 1", "a" + ".b" * 33 + " = 1"):
        with pytest.raises(InputError, match="line 1: more than 32 dots"):
            read_machine(write(tmp_path, keys))


@pytest.mark.parametrize(("number", "told"), [("nan", "not nan"), ("inf", "not an infinite one"), ("0.0", "not 0.0")])
def test_a_number_beyond_its_limits_is_told_as_what_it_is(tmp_path: Path, number: str, told: str) -> None:
    path = write(tmp_path, MINE.replace("llc_gbps = 40.0", f"llc_gbps = {number}"))
    with pytest.raises(InputError, match=rf"field 'costs\.llc_gbps': must be from 0\.1 to 10000 GB/s, {told}$"):
        read_machine(path)


@pytest.mark.parametrize(
    ("old", "new", "both"),
    [
        ("memory_gbps = 6.5", "memory_gbps = 41.0", ("memory_gbps", "llc_gbps")),
        ("remote_gbps = 3.25", "remote_gbps = 6.6", ("remote_gbps", "memory_gbps")),
        ("node_gbps = 44.0", "node_gbps = 6.0", ("memory_gbps", "node_gbps")),
        ("l2_kib = 512", "l2_kib = 32768", ("l2_kib", "llc_kib")),
        ("kernel_ps = 600", "kernel_ps = 20000", ("kernel_ps", "user_ps")),
        ("smt = 2", "smt = 1", ("smt", "topology.smt")),
        ("capacity = [1, 1,", "capacity = [1,", ("capacity", "topology.cpus")),
        ("nodes = 2", "nodes = 1", ("remote_gbps", "topology.nodes")),
        ("l2_kib = 512", "", ("llc_gbps", "l2_kib")),
    ],
)
def test_a_contradiction_names_both_fields(tmp_path: Path, old: str, new: str, both: tuple[str, str]) -> None:
    with pytest.raises(InputError) as refused:
        read_machine(write(tmp_path, MINE.replace(old, new, 1)))
    shown = [f"'costs.{name}'" if name in NUMBERS else f"'{name}'" for name in both]
    assert all(name in str(refused.value) for name in shown), refused.value


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"name = \xff", "not a text file in UTF-8"),
        (b"", "field 'name'"),
        (b"x = " + b"[" * 30_000, "nested too deep"),
        (b"user_ps = " + b"9" * 5000, "too many digits"),
        (b"user_ps = 0x" + b"f" * 5000, "too many digits"),
        (b"a" + b".a" * 40 + b" = 1", "dots"),
        (b"#" * (65 << 10), "larger than 64 KiB"),
        (b"name = 'a'\nname = 'b'", "not valid TOML"),
    ],
)
def test_a_file_that_is_none_is_refused_soon(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    began = time.monotonic()
    with pytest.raises(InputError, match=says) as refused:
        read_machine(path)
    assert str(refused.value).startswith(f"{path}: ") and "\n" not in str(refused.value)
    assert time.monotonic() - began < 2


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    real = write(tmp_path, MINE)
    (tmp_path / "link.toml").symlink_to(real)
    (tmp_path / "dangling.toml").symlink_to(tmp_path / "none.toml")
    (tmp_path / "loop.toml").symlink_to(tmp_path / "loop.toml")
    assert machine(str(tmp_path / "link.toml")) == machine(str(real)), "as a home directory's manager lays them"
    (tmp_path / "folder.toml").mkdir()
    os.mkfifo(tmp_path / "pipe.toml")
    for name, says in (
        ("folder", "directory"), ("pipe", "no plain"), ("none", "No such"), ("dangling", "No such"),
        ("loop", "symbolic links"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=says):
            machine(str(tmp_path / f"{name}.toml"))


def test_what_a_file_says_cannot_command_a_terminal(tmp_path: Path) -> None:
    evil = "\\u001b[31mred\\u202e"
    for text in (MINE.replace("cpus = 16", f'cpus = 16\n"{evil}" = 1'), MINE.replace('"mine"', f'"{evil}"', 1)):
        with pytest.raises(InputError) as refused:
            read_machine(write(tmp_path, text))
        assert not unseen(str(refused.value))


@pytest.mark.parametrize(("wrong", "meant"), [("destkop", "desktop"), ("Server", "server"), ("latpop", "laptop")])
def test_a_name_that_is_near_is_suggested(wrong: str, meant: str) -> None:
    with pytest.raises(InputError, match=f"no machine '{wrong}': is '{meant}' meant?"):
        machine(wrong)


def test_a_name_that_is_near_none_gets_all_of_them() -> None:
    with pytest.raises(InputError) as refused:
        machine("\x1b[31mzzz" * 1000, also=("host",))
    text = str(refused.value)
    assert "meant" not in text and "hybrid" in text and "host" in text and not unseen(text) and len(text) < 300

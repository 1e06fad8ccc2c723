# SPDX-License-Identifier: Apache-2.0
"""Situations that an object asks for: read from what clang makes of tables, arrays and flags."""

from __future__ import annotations

import subprocess

import pytest

from bpf.toolchain import find_toolchain
from policy_lake.topology import Topology
from verifier_vm.coverage.conditions import read_conditions
from verifier_vm.judge.aim import Aims, aimed_parts, read_aims
from verifier_vm.judge.suite import FULL, SHORT

SOURCE = """
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name
#define SEC(name) __attribute__((section(name), used))
struct sched_ext_ops { void (*enqueue)(void); void (*cgroup_init)(void); unsigned long long flags; char name[128]; };
char _license[] SEC("license") = "GPL";
struct {
	__uint(type, %(kind)d); __uint(max_entries, %(entries)d); __type(key, int); __type(value, long);
} table SEC(".maps");
SEC("struct_ops/e") int e(void *ctx) { return 0; }
SEC(".struct_ops.link") struct sched_ext_ops ops = { .enqueue = (void *)e, .flags = %(flags)d, .name = "x" };
%(more)s
"""
SECOND = """
SEC("struct_ops/f") int f(void *ctx) { return 0; }
SEC(".struct_ops.link") struct sched_ext_ops second = { .enqueue = (void *)f, .name = "y" };
"""
HASH, ARRAY, LRU_HASH = 1, 2, 9


@pytest.fixture
def made(tmp_path):
    def compile_it(kind=ARRAY, entries=1, flags=0, more=""):
        source, out = tmp_path / "x.c", tmp_path / "x.o"
        source.write_text(SOURCE % {"kind": kind, "entries": entries, "flags": flags, "more": more})
        subprocess.run([find_toolchain().clang, "--target=bpf", "-O2", "-g", "-w", "-c", source, "-o", out], check=True)
        return out.read_bytes()

    return compile_it


def names(parts):
    return [exercise.name for part in parts for exercise in part.exercises]


@pytest.mark.parametrize(
    ("kind", "entries", "tasks"),
    [(HASH, 32, 92), (HASH, 31, 0), (LRU_HASH, 500, 560), (HASH, 1140, 1200), (HASH, 1141, 0), (ARRAY, 500, 0)],
)
def test_a_table_of_tasks_is_to_be_filled_and_one_more(made, kind, entries, tasks):
    data = made(kind, entries)
    assert read_aims(data, "short").tasks == tasks
    crowd = [exercise for exercise in aimed_parts(data, "short")[0].exercises if exercise.name == "W23"]
    assert [exercise.args for exercise in crowd] == ([(f"tasks={tasks}",)] if tasks else [])


def test_the_full_tier_has_time_for_larger_tables(made):
    assert read_aims(made(HASH, 2000), "short").tasks == 0 and read_aims(made(HASH, 2000), "full").tasks == 2060


@pytest.mark.parametrize(
    ("kind", "entries", "in_turn"), [(HASH, 1141, 1201), (HASH, 4140, 4200), (HASH, 4141, 0), (HASH, 31, 0)]
)
def test_a_table_that_is_too_large_to_be_filled_at_once_is_filled_one_after_the_other(made, kind, entries, in_turn):
    data = made(kind, entries)
    assert read_aims(data, "short").in_turn == in_turn
    turns = [exercise for exercise in aimed_parts(data, "short")[0].exercises if exercise.name == "W29"]
    assert [exercise.args for exercise in turns] == ([(f"tasks={in_turn}",)] if in_turn else [])


def test_cgroups_have_weights_before_a_policy_comes_that_asks_for_them(made):
    plain, asking = made(), made(more=SECOND.replace("enqueue", "cgroup_init"))
    (part,) = aimed_parts(asking, "short", ("ops.use=second",))
    assert part.weighted and [one.name for one in part.exercises[:3]] == ["W28", "mix", "W12-before"]
    assert [step.label for step in part.before(virtual=False)] == ["offline", "weigh"]
    assert not aimed_parts(plain, "short")[0].weighted and not SHORT.weighted


@pytest.mark.parametrize(
    ("entries", "cpus"), [(1, 0), (2, 6), (4, 6), (5, 10), (8, 10), (9, 18), (16, 18), (17, 0), (64, 0)]
)
def test_an_array_may_be_one_of_cpus(made, entries, cpus):
    parts = aimed_parts(made(ARRAY, entries), "short")
    assert read_aims(made(ARRAY, entries), "short").cpus == cpus
    assert [part.topology for part in parts] == [None, *([Topology(cpus)] if cpus else [])]


def test_a_count_of_cpus_that_the_tier_has_is_not_tried_again(made):
    assert len(aimed_parts(made(ARRAY, 3), "full")) == len(FULL) and len(aimed_parts(made(ARRAY, 3), "short")) == 2


def test_tasks_that_cannot_migrate_are_made_for_whoever_takes_them(made):
    assert "W24" in names(aimed_parts(made(flags=16), "short")) and "W24" in names(aimed_parts(made(flags=18), "full"))
    assert "W24" not in names(aimed_parts(made(flags=15), "short"))
    for word, asked in (("SCX_OPS_ENQ_LAST,SCX_OPS_ENQ_MIGRATION_DISABLED", True), ("SCX_OPS_ENQ_LAST", False)):
        assert ("W24" in names(aimed_parts(made(), "short", (f"ops.flag={word}",)))) is asked, "set by the loader"


def test_of_several_policies_the_one_that_is_loaded_is_asked(made):
    two = made(flags=16, more=SECOND)
    assert read_aims(two, "short") == Aims(), "which one is not known"
    assert read_aims(two, "short", ("ops.use=ops",)).migration_disabled
    assert not read_aims(two, "short", ("ops.use=second",)).migration_disabled
    callbacks = [read_conditions(two, (f"ops.use={name}",)).callbacks for name in ("ops", "second")]
    assert callbacks == [{"e"}, {"f"}]


@pytest.mark.parametrize("data", [b"", b"object", b"\x7fELF" + bytes(60)])
def test_what_is_no_object_asks_for_nothing(data):
    assert read_aims(data, "short") == Aims() and aimed_parts(data, "short") == (SHORT,)

# SPDX-License-Identifier: Apache-2.0
"""Ways that constants close never count as not tried; those that hang on the number of CPUs name the number."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest

from bpf.toolchain import find_toolchain
from control_plane.coverage import Source, not_tried
from policy_lake.coverage import Branch, Coverage
from verifier_vm.coverage.conditions import read_conditions
from verifier_vm.coverage.error_paths import JUMPED, WENT_ON
from verifier_vm.coverage.reach import with_cpus
from verifier_vm.judge.aim import read_aims

SOURCE = """
#define SEC(name) __attribute__((section(name), used))
#define NOINLINE __attribute__((noinline))
typedef unsigned int u32; typedef unsigned long u64;
struct sched_ext_ops { void (*enqueue)(void); void (*dispatch)(void); char name[128]; };
char _license[] SEC("license") = "GPL";
struct task_struct;
extern int scx_bpf_task_cpu(const struct task_struct *p) __attribute__((section(".ksyms")));
extern u32 scx_bpf_nr_cpu_ids(void) __attribute__((section(".ksyms")));
static u64 (*bpf_ktime_get_ns)(void) = (void *) 5;
const volatile u32 mode = 2, limit = 40;
const volatile _Bool on = 0;
const volatile struct { u64 a; int b; } nested = { 7, -3 };
__attribute__((weak)) const volatile u64 __SCX_ENQ_LAST;
const volatile u32 nr_cpu_ids = 1;
static volatile u32 mutable = 0;
volatile u64 total;
%s
SEC("struct_ops/e") int e(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	u32 cpu = scx_bpf_task_cpu(p);
	u64 now = bpf_ktime_get_ns();
	%s /* here */
	return 0;
}
SEC(".struct_ops.link") struct sched_ext_ops ops = { .enqueue = (void *)e, .name = "x" };
"""
BY_MODE = 'NOINLINE int by(u32 m, u64 w) { asm volatile(""); if (m == 2) total++; /* asked */ return m == 3; }'
CLOSED = {
    "a switch": ("", "if (on) total++;", "here"),
    "a field of a constant": ("", "if (nested.b > 0) total++;", "here"),
    "a sum of constants": ("", "if (mode * 4 + limit == 7) total++;", "here"),
    "an argument that all give alike": (BY_MODE, "total += by(mode, now); total += by(2, cpu);", "asked"),
    "what a function returns": (
        "NOINLINE static u32 twice(u64 w) { total += w; return mode * 2; }", "if (twice(now) > 4) total++;", "here",
    ),
    "within a loop": ("", "for (u64 i = 0; i < (now & 7); i++) { total += i; if (on) total++; }", "here"),
}  # fmt: skip
LEFT = {
    "a variable": ("", "if (mutable) total++;", "here"),
    "a time": ("", "if (now > 4) total++;", "here"),
    "what the kernel's enumerators give": ("", "if (__SCX_ENQ_LAST) total++;", "here"),
    "how many CPUs the machine has": ("", "if (nr_cpu_ids > 4) total++;", "here"),
    "an argument that two give otherwise": (BY_MODE, "total += by(mode, now); total += by(3, cpu);", "asked"),
    "what a loop changes": (
        "", "u32 n = 0; for (u64 i = 0; i < (now & 7); i++) n += mode; asm volatile(\"\" : \"+r\"(n));"
            " if (n > 5) total++;",
        "here",
    ),
}  # fmt: skip


@pytest.fixture
def compiled(tmp_path):
    def build(helpers, body):
        source, made = tmp_path / "x.bpf.c", tmp_path / "x.o"
        source.write_text(SOURCE % (helpers, body))
        clang = str(find_toolchain().clang)
        words = [clang, "--target=bpf", "-mcpu=v3", "-g", "-O2", "-w", "-c", source.name, "-o", made.name]
        subprocess.run(words, check=True, cwd=tmp_path)
        return source.read_text().splitlines(), made.read_bytes()

    return build


def closed(compiled, helpers, body, word, arguments=()):
    """By condition of the line marked with a word: the ways that constants close."""
    lines, data = compiled(helpers, body)
    (line,) = [number for number, text in enumerate(lines, 1) if f"/* {word} */" in text]
    found = read_conditions(data, arguments)
    return [found.dead[condition] for condition in found.known if condition[0][1] == line]


@pytest.mark.parametrize("case", CLOSED)
def test_a_way_that_constants_close_is_dead(compiled, case):
    assert any(ways in ({JUMPED}, {WENT_ON}) for ways in closed(compiled, *CLOSED[case]))


@pytest.mark.parametrize("case", LEFT)
def test_a_way_that_is_only_not_taken_yet_is_not(compiled, case):
    ways = closed(compiled, *LEFT[case])
    assert ways and not any(ways)


def test_what_a_loader_sets_decides(compiled):
    one = closed(compiled, "", "if (mode == 2) total++;", "here")
    other = closed(compiled, "", "if (mode == 2) total++;", "here", ("mode=3",))
    assert len(one) == len(other) == 1 and one[0] | other[0] == {JUMPED, WENT_ON} and not one[0] & other[0]


@pytest.mark.parametrize(("body", "cpus", "guest"), [
    ("if (cpu == 4) total++;", 5, 6), ("if (cpu > limit) total++;", 42, 0), ("if (cpu / 8 == 1) total++;", 9, 10),
    ("if (scx_bpf_nr_cpu_ids() > 16) total++;", 17, 18), ("if (cpu / 8 == 20) total++;", 161, 0),
    ("if (cpu == mutable) total++;", 0, 0), ("if (cpu > 0) total++;", 0, 0),
])  # fmt: skip
def test_a_condition_on_cpus_numbers_says_how_many_it_takes(compiled, body, cpus, guest):
    lines, data = compiled("", body)
    (line,) = [number for number, text in enumerate(lines, 1) if "/* here */" in text]
    (condition,) = [one for one in read_conditions(data).known if one[0][1] == line]
    for fates in (("not tried", "ran"), ("ran", "not tried")):
        branch = Branch("e", *condition[0], 0, *fates)
        (told,) = with_cpus(Coverage(conditions=(branch,)), data, (), 2).conditions
        met = with_cpus(Coverage(conditions=(branch,)), data, (), max(cpus, 2)).conditions
        assert told.cpus in (0, cpus) and met == (branch,)
        if told.cpus:
            said = not_tried(Coverage(conditions=(told,)), Source("none.bpf.c", ()))[0]
            assert (f"--topology cpus={cpus}" in said) is (cpus <= 64) and str(cpus) in said
    both = with_cpus(Coverage(conditions=(replace(branch, jumped="not tried"),)), data, (), 2)
    assert both.conditions[0].cpus == cpus
    if guest:
        assert read_aims(data, "short").cpus == guest

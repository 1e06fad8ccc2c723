# SPDX-License-Identifier: Apache-2.0
"""Ways that nothing the kernel hands out can take never count; what it can hand out, untried, always does."""

from __future__ import annotations

import subprocess

import pytest

from bpf.toolchain import find_toolchain
from policy_lake.coverage import Branch, Coverage
from verifier_vm.coverage.conditions import read_conditions
from verifier_vm.coverage.reach import with_cpus

SOURCE = """
#define SEC(name) __attribute__((section(name), used))
#define KSYM __attribute__((section(".ksyms")))
#define INLINE static inline __attribute__((always_inline))
#define NOINLINE static __attribute__((noinline))
typedef unsigned int u32; typedef int s32; typedef unsigned long u64; typedef long s64;
struct cpumask;
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct task_struct { int prio, static_prio, other; u32 pid; const struct cpumask *cpus_ptr; };
#pragma clang attribute pop
struct sched_ext_ops { s32 (*select_cpu)(void); void (*enqueue)(void); void (*dispatch)(void); void (*set_weight)(void);
	s32 (*init)(void); char name[128]; };
char _license[] SEC("license") = "GPL";
extern s32 scx_bpf_task_cpu(const struct task_struct *p) KSYM;
extern u32 scx_bpf_nr_cpu_ids(void) KSYM;
extern const struct cpumask *scx_bpf_get_online_cpumask(void) KSYM;
extern void scx_bpf_put_cpumask(const struct cpumask *m) KSYM;
extern _Bool bpf_cpumask_test_cpu(u32 cpu, const struct cpumask *m) KSYM;
extern s32 scx_bpf_pick_idle_cpu(const struct cpumask *m, u64 flags) KSYM;
extern void scx_bpf_kick_cpu(s32 cpu, u64 flags) KSYM;
extern void scx_bpf_dsq_insert(struct task_struct *p, u64 dsq, u64 slice, u64 flags) KSYM;
static u64 (*bpf_ktime_get_ns)(void) = (void *) 5;
static u32 (*bpf_get_smp_processor_id)(void) = (void *) 8;
static long (*bpf_timer_set_callback)(void *t, void *cb) = (void *) 170;
static long (*bpf_loop)(u32 n, void *cb, void *ctx, u64 flags) = (void *) 181;
volatile u64 total, box[4];
INLINE _Bool online(s32 cpu)
{
	const struct cpumask *m = scx_bpf_get_online_cpumask();
	_Bool is = bpf_cpumask_test_cpu(cpu, m);
	scx_bpf_put_cpumask(m);
	return is;
}
INLINE _Bool can_kick(void) { return online(bpf_get_smp_processor_id()); }
%(helpers)s
SEC("struct_ops/s") s32 s(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0]; s32 prev = (s32)ctx[1];
	%(select_cpu)s
	return prev;
}
SEC("struct_ops/e") void e(u64 *ctx) { struct task_struct *p = (void *)ctx[0]; %(enqueue)s }
SEC("struct_ops/d") void d(u64 *ctx) { s32 cpu = (s32)ctx[0]; %(dispatch)s }
SEC("struct_ops/w") void w(u64 *ctx) { u32 weight = (u32)ctx[1]; %(set_weight)s }
SEC("struct_ops.s/i") s32 i(u64 *ctx) { %(init)s return 0; }
SEC(".struct_ops.link") struct sched_ext_ops ops = { .select_cpu = (void *)s, .enqueue = (void *)e,
	.dispatch = (void *)d, .set_weight = (void *)w, .init = (void *)i, .name = "x" };
"""
AGAIN = 'if (can_kick()) { total++; asm volatile(""); if (!can_kick()) /* here */ total += 7; }'
INSERT, IDLE = "scx_bpf_dsq_insert(p, 1, 5, 0);", "s32 c = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);"
WAKE = f"{INSERT} if (can_kick()) /* here */ {{ {IDLE} if (c >= 0) scx_bpf_kick_cpu(c, 1); }}"
OTHERS = 'for (u32 n = 0; n < scx_bpf_nr_cpu_ids(); n++) {\n s32 c = n; asm volatile("" : "+r"(c)); %s }'
TIMER = "NOINLINE int timer(void *m, u32 *k, void *v) { if (!can_kick()) /* here */ total++; return 0; }"
NEVER = {
    "a CPU below 0 in select_cpu": {"select_cpu": "if (prev < 0) /* here */ total++;"},
    "a CPU below 0 in dispatch": {"dispatch": "if (cpu < 0) /* here */ total++;"},
    "a task's CPU below 0": {"enqueue": "if (scx_bpf_task_cpu(p) < 0) /* here */ total++;"},
    "an index beyond all levels": {"enqueue": "u32 n = p->static_prio - 100; if (n > 39) /* here */ total++;"},
    "a weight of 0": {"set_weight": "if (!weight) /* here */ total++;"},
    "a CPU that dispatches off line": {"dispatch": "if (!can_kick()) /* here */ total++;"},
    "a timer on a CPU that is off line": {
        "helpers": TIMER, "init": "bpf_timer_set_callback((void *)box, timer);",
    },
    "a function that dispatch alone calls": {
        "helpers": "NOINLINE int f(u64 n) { if (!can_kick()) /* here */ total += n; return 0; }", "dispatch": "f(cpu);",
    },
    "what was asked before in one callback": {"enqueue": AGAIN},
}  # fmt: skip
MAY_BE = {
    "a CPU's number": {"dispatch": "if (cpu == 5) /* here */ total++;"},
    "what select_cpu is not given": {"dispatch": "s32 x = box[1]; if (x < 0) /* here */ total++;"},
    "a time": {"dispatch": "if (bpf_ktime_get_ns() > 3600000000000UL) /* here */ total++;"},
    "a task's number": {"enqueue": "if (p->pid == 4711) /* here */ total++;"},
    "an index beyond a table that is too short": {
        "enqueue": "u32 n = p->static_prio - 100; if (n > 38) /* here */ total++;",
    },
    "another field": {"enqueue": "u32 n = p->prio - 100; if (n > 39) /* here */ total++;"},
    "a CPU that enqueues off line": {"enqueue": f"if (!can_kick()) /* here */ return; {INSERT}"},
    "another CPU": {"dispatch": "if (!online(cpu + 1)) /* here */ total++;"},
    "what was asked before where a task may migrate": {"init": AGAIN},
    "a function of both dispatch and enqueue": {
        "helpers": "NOINLINE int f(u64 n) { if (!can_kick()) /* here */ total += n; return 0; }",
        "dispatch": "f(cpu);", "enqueue": "f(p->pid);",
    },
    "a function that enqueue calls in a loop": {
        "helpers": "NOINLINE int f(u32 n, void *c) { if (!can_kick()) /* here */ total += n; return 0; }",
        "enqueue": "bpf_loop(4, f, 0, 0);",
    },
}  # fmt: skip
ONLY_A_KICK = {
    "by a CPU that leaves": {"enqueue": WAKE},
    "to a CPU that is off line": {"dispatch": OTHERS % "if (online(c)) /* here */ scx_bpf_kick_cpu(c, 2);"},
}
MORE_THAN_A_KICK = {
    "an insert": {"enqueue": f"if (can_kick()) /* here */ {{ {INSERT} }}"},
    "a write": {"enqueue": f"{INSERT} if (can_kick()) /* here */ {{ {IDLE} total++; }}"},
    "a kick that preempts": {
        "enqueue": f"{INSERT} {IDLE} if (can_kick()) /* here */ scx_bpf_kick_cpu(c, 2);",
    },
    "something done instead": {"enqueue": f"{INSERT} {IDLE} if (can_kick()) /* here */ scx_bpf_kick_cpu(c, 1); "
                                          "else total++;"},
    "a kick instead": {"enqueue": f"{INSERT} {IDLE} if (!can_kick()) /* here */ scx_bpf_kick_cpu(c, 1);"},
    "a kick of one that was kept": {
        "dispatch": "s32 o = box[1];" + OTHERS % "if (online(c)) /* here */ scx_bpf_kick_cpu(o, 2);",
    },
    "a kick of another CPU": {"dispatch": OTHERS % "if (online(c)) /* here */ scx_bpf_kick_cpu(c ^ 1, 2);"},
    "what comes of it": {"enqueue": "s32 c = -1; if (can_kick()) /* here */ c = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);"
                                    " box[2] = c;"},
}  # fmt: skip


@pytest.fixture
def compiled(tmp_path):
    def build(**bodies):
        source, made = tmp_path / "x.bpf.c", tmp_path / "x.o"
        parts = dict.fromkeys(("helpers", "select_cpu", "enqueue", "dispatch", "set_weight", "init"), "")
        source.write_text(SOURCE % {**parts, **bodies})
        clang = str(find_toolchain().clang)
        words = [clang, "--target=bpf", "-mcpu=v3", "-g", "-O2", "-w", "-c", source.name, "-o", made.name]
        subprocess.run(words, check=True, cwd=tmp_path)
        lines = source.read_text().splitlines()
        (line,) = [number for number, text in enumerate(lines, 1) if "/* here */" in text]
        return line, made.read_bytes()

    return build


def of_line(ways, line):
    return [closed for condition, closed in ways.items() if condition[0][1] == line]


@pytest.mark.parametrize("case", NEVER)
def test_a_way_that_the_kernel_never_asks_for_is_dead(compiled, case):
    line, data = compiled(**NEVER[case])
    assert any(of_line(read_conditions(data).dead, line))


@pytest.mark.parametrize("case", MAY_BE)
def test_a_way_that_it_may_ask_for_counts(compiled, case):
    line, data = compiled(**MAY_BE[case])
    found = read_conditions(data)
    ways = of_line(found.dead, line)
    assert ways and not any(ways) and not any(of_line(found.error, line))


@pytest.mark.parametrize("case", ONLY_A_KICK)
def test_where_only_a_kick_is_left_out_since_a_cpu_is_off_line_nothing_is_lost(compiled, case):
    line, data = compiled(**ONLY_A_KICK[case])
    assert any(of_line(read_conditions(data).error, line))


@pytest.mark.parametrize("case", MORE_THAN_A_KICK)
def test_where_more_is_left_out_it_counts(compiled, case):
    line, data = compiled(**MORE_THAN_A_KICK[case])
    found = read_conditions(data)
    assert of_line(found.error, line) and not any(of_line(found.error, line) + of_line(found.dead, line))


def test_one_line_is_decided_for_each_callback_by_itself(compiled):
    _, data = compiled(
        helpers="INLINE void look(void) { if (!can_kick()) /* here */ total++; }", dispatch="look();",
        enqueue=f"look(); {INSERT}",
    )  # fmt: skip
    found = read_conditions(data)
    assert any(found.dead_in["d"].values()) and not any(found.dead_in["e"].values())


@pytest.mark.parametrize(("body", "tried", "beyond"), [
    ("if (cpu > 63) /* here */ total++;", 2, True),
    ("if (cpu > 63) /* here */ total++;", 64, True),
    ("if (cpu > 63) /* here */ total++;", 65, False),
    ("if (cpu == 5) /* here */ total++;", 2, True),
    ("if (cpu == 5) /* here */ total++;", 8, False),
    ("if (cpu / 8 == 1) /* here */ total++;", 8, True),
    ("if (cpu + box[0] > 63) /* here */ total++;", 2, False),
    ("if (scx_bpf_nr_cpu_ids() > 64) /* here */ total++;", 2, False),  # of CPUs that may come, too
])  # fmt: skip
def test_what_only_cpus_of_higher_numbers_than_a_token_is_for_can_take_does_not_count(compiled, body, tried, beyond):
    line, data = compiled(dispatch=body)
    found = read_conditions(data)
    (condition,) = [one for one in found.known if one[0][1] == line]
    assert not found.dead[condition], "it is beyond what was tried, and proven for no other machine"
    fates = set()
    for given in (("not tried", "ran"), ("ran", "not tried")):
        before = Coverage(programs=("d",), conditions=(Branch("d", *condition[0], 0, *given),))
        after = with_cpus(before, data, (), tried)
        (branch,) = after.conditions
        fates |= {*branch.fates}
        left = 2 if "beyond" in branch.fates else 3
        assert after.branches.of == left and len(list(after.not_tried())) == 1
    assert ("beyond" in fates) is beyond

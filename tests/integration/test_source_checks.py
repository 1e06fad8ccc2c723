# SPDX-License-Identifier: Apache-2.0
"""Each check of the stage `source`, on the smallest source that it rejects and the nearest that it must not."""

from __future__ import annotations

import pytest
from test_source_lint import look  # noqa: F401  a fixture

HEAD = """#include "sx/sx.h"
#include "primitives/vtime.bpf.h"
#include "primitives/cputime.bpf.h"
static u64 clock, lag, marks[64];
static u32 cpus;
struct { __uint(type, BPF_MAP_TYPE_QUEUE); __uint(max_entries, 4); __type(value, s32); } waiting SEC(".maps");
"""


def policy(ops, before=""):
    """A policy with these callbacks, each `op: (arguments, body)`; one line each, in order, from line 8 on."""
    heads = {
        "select_cpu": "s32 SX_OP(t_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)",
        "enqueue": "void SX_OP(t_enqueue, struct task_struct *p, u64 enq_flags)",
        "dispatch": "void SX_OP(t_dispatch, s32 cpu, struct task_struct *prev)",
        "running": "void SX_OP(t_running, struct task_struct *p)",
        "stopping": "void SX_OP(t_stopping, struct task_struct *p, bool runnable)",
        "enable": "void SX_OP(t_enable, struct task_struct *p)",
        "yield": "bool SX_OP(t_yield, struct task_struct *from, struct task_struct *to)",
        "init": "s32 SX_OP_SLEEPABLE(t_init)",
        "cgroup_init": "s32 SX_OP_SLEEPABLE(t_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)",
    }
    bodies = "\n".join(f"{heads[op]} {{ {body} }}" for op, body in ops.items())
    table = ", ".join(f".{op} = (void *)t_{op}" for op in ops)
    return f"{HEAD}{before}\n{bodies}\nSX_OPS(t, {table});\n"


VTIME_IN = "sx_insert_vtime(p, 1, SCX_SLICE_DFL, {}, enq_flags);"
PAY = "sx_set_vtime(p, p->scx.dsq_vtime + {});"
USED = "sx_cpu_time_since(p, marks[0])"
CLAMPED = VTIME_IN.format("sx_clamp_vtime(p->scx.dsq_vtime, clock, lag, lag)")
V = "u64 v = p->scx.dsq_vtime; "
IDLE = "s32 cpu = sx_pick_idle_cpu(p->cpus_ptr, 0); "
SEND = "sx_insert(p, SX_DSQ_LOCAL_ON | {}, SCX_SLICE_DFL, 0);"

REJECTED = {
    "F02 dropped": ("F02", {"init": "sx_create_dsq(1); return 0;"}),
    "F02 cast to void": ("F02", {"init": "(void)sx_create_dsq(1); return 0;"}),
    "F02 kept, unread": ("F02", {"init": "s32 err; err = sx_create_dsq(1); return 0;"}),
    "F10 sent by pid": ("F10", {"enqueue": SEND.format("(p->pid % cpus)")}),
    "F10 sent to 0": ("F10", {"enqueue": SEND.format("0")}),
    "F11 kicked": ("F11", {"enqueue": IDLE + "sx_kick_cpu(cpu, SX_KICK_IDLE);"}),
    "F11 kicked where it is negative": ("F11", {"enqueue": IDLE + "if (cpu < 0) sx_kick_cpu(cpu, SX_KICK_IDLE);"}),
    "F11 returned": ("F11", {"select_cpu": IDLE + "if (cpu >= 0) clock++; return cpu;"}),
    "F11 sent": ("F11", {"enqueue": IDLE + SEND.format("cpu")}),
    "F12 in turn": ("F12", {"select_cpu": "return (prev_cpu + 1) % cpus;"}),
    "F12 always 0": ("F12", {"select_cpu": "return 0;"}),
    "F12 by way of a variable": ("F12", {"select_cpu": "s32 cpu = p->pid; cpu %= cpus; return cpu;"}),
    "F14 as it is": ("F14", {"enqueue": VTIME_IN.format("p->scx.dsq_vtime")}),
    "F14 only an upper bound": ("F14", {
        "enqueue": V + "if (sx_before(clock + lag, v)) v = clock + lag; " + VTIME_IN.format("v")}),
    "F14 the clock's own comparison": ("F14", {
        "enqueue": VTIME_IN.format("p->scx.dsq_vtime"),
        "running": "if (sx_before(clock, p->scx.dsq_vtime)) clock = p->scx.dsq_vtime;"}),
    "F16 multiplied": ("F16", {"stopping": PAY.format(f"{USED} * p->scx.weight / 100")}),
    "F16 ignored": ("F16", {"stopping": PAY.format(USED)}),
    "F17 by slice": ("F17", {"stopping": PAY.format("(SCX_SLICE_DFL - p->scx.slice) * 100 / p->scx.weight")}),
    "F17 by way of a variable": ("F17", {
        "stopping": "u64 used = SCX_SLICE_DFL - p->scx.slice; p->scx.dsq_vtime += used * 100 / p->scx.weight;"}),
    "F18 as it comes": ("F18", {"enqueue": CLAMPED, "running": "clock = p->scx.dsq_vtime;"}),
    "F26 dropped": ("F26", {"enqueue": "s32 pid = p->pid; bpf_map_push_elem(&waiting, &pid, 0);"}),
    "F28 never": ("F28", {"cgroup_init": "return -ENOMEM;"}),
    "F36 bpf_for": ("F36", {"dispatch": "s32 i; bpf_for(i, 0, 1 << 20) clock++;"}),
    "F36 a break of another loop": ("F36", {
        "dispatch": "s32 i, k; bpf_for(i, 0, 1 << 20) { bpf_for(k, 0, 9) break; }"}),
    "F36 a callback that never ends it": ("F36", {"dispatch": "bpf_loop(1 << 23, on, &clock, 0);"}),
    "F36 for": ("F36", {"dispatch": "for (u32 i = 0; i < 4000000; i++) clock += marks[i & 63];"}),
    "F38 read back": ("F38", {"enqueue": CLAMPED + " clock += p->scx.dsq_vtime;"}),
    "F38 in a branch": ("F38", {"enqueue": CLAMPED + " if (p->scx.slice) clock++;"}),
    "F40 empty": ("F40", {"yield": "return false;"}),
    "asm": ("asm", {"enqueue": 'asm volatile("r0 = 0" ::: "r0");'}),
    "a field of the kernel's": ("write", {"enqueue": "p->scx.flags = 0;"}),
}  # fmt: skip
LEFT = {
    "F02 returned": {"init": "return sx_create_dsq(1);"},
    "F02 asked": {"init": "s32 err = sx_create_dsq(1); if (err) return err; return 0;"},
    "F10 asked": {"enqueue": "u32 t = p->pid % cpus; if (sx_can_run_on(p, t)) " + SEND.format("t")},
    "F10 where it is": {"enqueue": SEND.format("sx_task_cpu(p)")},
    "F11 asked": {"enqueue": IDLE + "if (cpu >= 0) sx_kick_cpu(cpu, SX_KICK_IDLE);"},
    "F11 asked before": {"select_cpu": IDLE + "if (cpu < 0) return prev_cpu; return cpu;"},
    "F11 asked by way of a flag": {"select_cpu": IDLE + "bool ok = cpu >= 0; if (ok) return cpu; return prev_cpu;"},
    "F11 given another": {"select_cpu": IDLE + "if (cpu < 0) cpu = prev_cpu; return cpu;"},
    "F11 chosen": {"select_cpu": IDLE + "return cpu >= 0 ? cpu : prev_cpu;"},
    "F11 likely": {"enqueue": IDLE + "if (__builtin_expect(!!(cpu >= 0 && clock), 1)) sx_kick_cpu(cpu, 0);"},
    "F11 by a function": {"enqueue": IDLE + "if (!fits(cpu)) return; sx_kick_cpu(cpu, 0);"},
    "F12 where it was": {"select_cpu": "return prev_cpu;"},
    "F12 asked": {"select_cpu": "s32 t = (prev_cpu + 1) % cpus; return sx_can_run_on(p, t) ? t : prev_cpu;"},
    "F14 open-coded": {
        "enqueue": V + "if ((s64)(v - (clock - lag)) < 0) v = clock - lag; " + VTIME_IN.format("v")},
    "F14 in a function": {"enqueue": VTIME_IN.format("clamped(p)")},
    "F14 chosen": {"enqueue": V + "u64 f = clock - lag; " + VTIME_IN.format("sx_before(v, f) ? f : v")},
    "F14 in another callback": {
        "enqueue": VTIME_IN.format("p->scx.dsq_vtime"),
        "running": "if (sx_before(p->scx.dsq_vtime, clock - lag)) sx_set_vtime(p, clock - lag);"},
    "F14 real time": {"enqueue": VTIME_IN.format("sx_now() + 1000")},
    "F16 divided": {"stopping": PAY.format(f"{USED} * 100 / p->scx.weight")},
    "F16 by the primitive": {"stopping": PAY.format(f"sx_scale_by_weight({USED}, p->scx.weight)")},
    "F17 a slice read for another end": {"stopping": "if (p->scx.slice > 0) clock++;"},
    "F18 asked": {"running": "if (sx_before(clock, p->scx.dsq_vtime)) clock = p->scx.dsq_vtime;"},
    "F18 for nobody's queue": {"running": "clock = p->scx.dsq_vtime;"},
    "F18 by the primitive": {"running": "sx_advance_vtime(&clock, p->scx.dsq_vtime);"},
    "F26 asked": {
        "enqueue": "s32 pid = p->pid; if (bpf_map_push_elem(&waiting, &pid, 0)) sx_insert(p, 1, SCX_SLICE_DFL, 0);"},
    "F28 at times": {"cgroup_init": "return clock ? -ENOMEM : 0;"},
    "F36 short": {"dispatch": "s32 i; bpf_for(i, 0, 512) clock++;"},
    "F36 left by a break": {"dispatch": "s32 i; bpf_for(i, 0, 1 << 23) { if (clock) break; clock++; }"},
    "F36 left by a return": {"dispatch": "bpf_repeat(1 << 23) { if (clock++ > 7) return; }"},
    "F36 by a callback that ends it": {"dispatch": "bpf_loop(1 << 23, enough, &clock, 0);"},
    "F17 not compiled": {"stopping": "if (0) " + PAY.format("(SCX_SLICE_DFL - p->scx.slice) * 100 / p->scx.weight")},
    "F36 once, in init": {"init": "s32 i; bpf_for(i, 0, 1 << 20) clock++; return 0;"},
    "F38 before": {"enqueue": "clock += p->scx.dsq_vtime; " + CLAMPED},
    "F38 in the other branch": {"enqueue": "if (clock) {" + CLAMPED + " return; } lag += p->scx.dsq_vtime;" + CLAMPED},
    "F38 another task": {"dispatch": "if (prev) clock = prev->scx.slice;"},
    "F40 ended": {"yield": "sx_set_slice(from, 0); return false;"},
    "F40 by hand": {"yield": "from->scx.slice = 0; return false;"},
    "a barrier": {"enqueue": 'asm volatile("" ::: "memory");'},
    "disallow": {"enable": "p->scx.disallow = true;"},
}  # fmt: skip
CALLBACKS = """static long enough(u32 i, void *c) { return i > 7; }
static long on(u32 i, void *c) { ++*(u64 *)c; return 0; }"""
BEFORE = """static __noinline bool fits(s32 cpu) { return cpu >= 0 && cpu < 64; }
static u64 clamped(struct task_struct *p) { return sx_clamp_vtime(p->scx.dsq_vtime, clock, lag, lag); }"""


@pytest.mark.parametrize(("bug", "ops"), REJECTED.values(), ids=REJECTED)
def test_it_is_suspected(bug, ops, look):  # noqa: F811
    stage = look(policy(ops, CALLBACKS))
    level = "reject" if bug == "asm" else "suspicion"
    found = [finding for finding in stage.findings if finding.level == level]
    assert stage.ok == (bug != "asm")
    assert bug in [finding.bug for finding in found], stage
    besides = {"F14": "F15", "F11": "F10"}.get(bug, bug)  # what is not clamped was not started either
    assert {finding.bug for finding in found} <= {bug, besides}, stage
    first = 8 + CALLBACKS.count("\n")
    assert first <= int(found[0].place.rpartition(":")[2]) < first + len(ops)
    assert not any(finding.bug == "compiler" for finding in stage.findings)


@pytest.mark.parametrize("ops", LEFT.values(), ids=LEFT)
def test_it_is_not_suspected(ops, look):  # noqa: F811
    stage = look(policy(ops, f"{CALLBACKS}\n{BEFORE}"))
    assert {finding.bug for finding in stage.findings} <= {"write"}, stage


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ('#include "/etc/passwd"', 1),
        ("\n  #  include </etc/passwd>", 2),
        ('#include "a/../../b.h"', 1),
        ('#inc\\\nlude "/etc/passwd"', 1),
        ('/* */ %:include "/etc/passwd"', 1),
        ('\n#if __has_include("/etc/passwd")\n#endif', 2),
        ("\n\n#embed <x>", 3),
        ('/* a\n*/ #include "/x" /* b */', 2),
    ],
)
def test_an_include_that_leads_out_is_rejected(source, line, look):  # noqa: F811
    rejected = [finding for finding in look(source + "\nint x;\n").findings if finding.level == "reject"]
    assert [(finding.bug, finding.place) for finding in rejected] == [("include", f"mine.bpf.c:{line}")]


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ('#ifdef LSP\n#include "../x.h"\n#endif', []),
        ('#if 0\n#if 1\n#include "/etc/passwd"\n#endif\n#else\n#include "/etc/shadow"\n#endif', [6]),
        ('#ifndef __bpf__\n#include "../user.h"\n#endif', []),
        ('#ifdef __bpf__\n#include "../user.h"\n#endif', [2]),
        ('#define A \\\n 1\n#if A == 1\n#include "../x.h"\n#endif', [4]),
        ('#if __LINE__ == 1\n#include "../x.h"\n#endif', [2]),
        ('#define A \\\n __LINE__\n#if A == 7\n#include "../x.h"\n#endif', [4]),
        ('#include "nowhere.h"\n#if 0\n#include "../x.h"\n#endif', [3]),
        ('#if 0\n#embed "/etc/passwd"\n#endif', []),
        ('#if 0 && __has_include("/etc/passwd")\n#endif', [1]),
    ],
)
def test_an_include_counts_where_it_is_taken_or_nobody_can_tell(source, lines, look):  # noqa: F811
    rejected = [finding for finding in look(source + "\nint x;\n").findings if finding.level == "reject"]
    assert [finding.place for finding in rejected] == [f"mine.bpf.c:{line}" for line in lines]


@pytest.mark.parametrize(
    "source",
    ['// #include "/etc/passwd"', '/*\n#include "/etc/passwd"\n*/', '// a \\\n#include "/x"', '#include "sx/sx.h"',
     'const char s[] = "\\\n#include \\"/x\\"";', '#include "a..b.h"', "/* cut"],
)  # fmt: skip
def test_what_only_looks_like_one_is_not(source, look):  # noqa: F811
    assert not [finding for finding in look(source + "\nint x;\n").findings if finding.level == "reject"]


def test_a_direct_write_where_there_is_a_setter_is_noted(look):  # noqa: F811
    (rejected,) = look(policy({"dispatch": "if (prev) prev->scx.slice = 5000000;"})).findings
    assert (rejected.bug, rejected.level) == ("write", "note") and "sx_set_slice" in rejected.advice

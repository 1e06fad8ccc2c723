# SPDX-License-Identifier: Apache-2.0
"""Times, numbers, names and levels that conditions tell apart, read from what clang makes of them in many shapes."""

from __future__ import annotations

import subprocess

import pytest

from bpf.toolchain import find_toolchain
from verifier_vm.judge.aim import read_aims
from verifier_vm.judge.chosen import KEPT_S, NOTHING

SOURCE = """
typedef unsigned long long u64; typedef unsigned int u32; typedef int s32; typedef long long s64;
#define SEC(name) __attribute__((section(name), used))
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name
#define NOINLINE static __attribute__((noinline))
#define INLINE static inline __attribute__((always_inline))
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct sched_ext_entity { u32 weight; };
struct task_struct {
	int pad; s32 prio, static_prio; struct sched_ext_entity scx; s32 pid, tgid; u64 start_time;
	struct task_struct *real_parent; char comm[16];
};
#pragma clang attribute pop
struct sched_ext_ops { void (*enqueue)(void); void (*init)(void); void (*set_weight)(void); char name[128]; };
char _license[] SEC("license") = "GPL";
static u64 (*now)(void) = (void *)5;
static void *(*lookup)(void *, const void *) = (void *)1;
static long (*read_kernel_str)(void *, u32, const void *) = (void *)115;
static long (*read_kernel)(void *, u32, const void *) = (void *)113;
static long (*current_comm)(void *, u32) = (void *)16;
static u64 (*jiffies)(void) = (void *)118;
static long (*strncmp)(const char *, u32, const char *) = (void *)182;
#define HOUR 3600000000000ull
struct { __uint(type, 1); __uint(max_entries, 8); __type(key, int); __type(value, u64); } seen SEC(".maps");
u64 lost;
%s
SEC("struct_ops/e") int e(u64 *ctx) {
	struct task_struct *p = (void *)ctx[0];
	%s
	return 0;
}
SEC("struct_ops.s/i") int i(u64 *ctx) { %s return 0; }
SEC("struct_ops/w") int w(u64 *ctx) { u32 weight = ctx[1]; %s return 0; }
SEC(".struct_ops.link") struct sched_ext_ops ops = {
	.enqueue = (void *)e, .init = (void *)i, .set_weight = (void *)w, .name = "x"
};
"""


@pytest.fixture
def chosen(tmp_path):
    def read(body, more="", init="", set_weight="", tier="short", arguments=()):
        source, out = tmp_path / "x.c", tmp_path / "x.o"
        source.write_text(SOURCE % (more, body, init, set_weight))
        subprocess.run(
            [find_toolchain().clang, "--target=bpf", "-mcpu=v3", "-O2", "-g", "-w", "-c", source, "-o", out], check=True
        )
        return read_aims(out.read_bytes(), tier, arguments).chosen

    return read


def if_(condition):
    return f"if ({condition}) lost++;"


SIX_H, DAY = KEPT_S[1], KEPT_S[2]


@pytest.mark.parametrize(("condition", "more", "uptimes"), [
    ("now() > 3 * HOUR", "", (SIX_H,)),
    ("!(3 * HOUR >= now())", "", (SIX_H,)),
    ("now() / 1000000 > 3 * 3600 * 1000", "", (SIX_H,)),
    ("(u32)(now() / 1000000000) >= 10800", "", (SIX_H,)),
    ("now() >> 40 >= 10", "", (SIX_H,)),
    ("(s64)(now() - 3 * HOUR) > 0", "", (SIX_H,)),
    ("now() + HOUR > 4 * HOUR", "", (SIX_H,)),
    ("jiffies() > 4294892296ull + 3 * 3600 * 250", "", (SIX_H,)),
    ("now() > limit", "const volatile u64 limit = 3 * HOUR;", (SIX_H,)),
    ("now() > limit", "u64 limit = 3 * HOUR;", (SIX_H,)),
    ("late(now() / 1000, 3)", "INLINE int late(u64 us, u64 hours) { return us / 3600000000ull >= hours; }", (SIX_H,)),
    ("late(now())", "NOINLINE int late(u64 at) { return at > 3 * HOUR; }", (SIX_H,)),
    ("now() & (1ull << 43)", "", (SIX_H, KEPT_S[0])),
    ("now() % (8 * HOUR) > 5 * HOUR && now() < 20 * HOUR", "", (DAY, SIX_H, 28861)),
    ("now() > 10 * HOUR && now() < 11 * HOUR", "", (DAY,)),
    ("now() > 7 * HOUR && now() < 8 * HOUR", "", (DAY, 25261)),
    ("now() > 7 * 24 * HOUR", "", (KEPT_S[3],)),
    ("now() > HOUR", "", ()), ("now() > 49 * 24 * HOUR", "", ()), ("now() > 1000000", "", ()),
    ("p->start_time > 3 * HOUR", "", (SIX_H,)),
])  # fmt: skip
def test_a_guest_is_up_for_longer_than_a_condition_says(chosen, condition, more, uptimes):
    made = chosen(if_(condition), more)
    assert made.uptimes == uptimes and not (made.naps or made.pids or made.names or made.levels)


def test_the_full_tier_has_a_month(chosen):
    month = if_("now() > 30 * 24 * HOUR")
    assert chosen(month).uptimes == () and chosen(month, tier="full").uptimes == (31 * 86_400,)


@pytest.mark.parametrize(("condition", "more", "init", "naps"), [
    ("now() - began > HOUR", "static u64 began;", "began = now();", (3673,)),
    ("now() > ends", "static u64 ends;", "ends = now() + HOUR;", (3673,)),
    ("(now() - began) / 1000000 >= 600 * 1000", "static u64 began;", "began = now();", (613,)),
    ("now() - p->start_time > HOUR", "", "", (3673,)),
    ("(u32)((now() - began) >> 30) > 60", "static u64 began;", "began = now();", (67,)),
    ("jiffies() - began > 600 * 250", "static u64 began;", "began = jiffies();", (613,)),
    ("now() - began > 1000000", "static u64 began;", "began = now();", ()),
    ("now() - began > 300 * HOUR", "static u64 began;", "began = now();", ()),
    ("now() - began > 60000000000ull && now() - began < 600000000000ull", "static u64 began;", "began = now();",
     (613, 62)),
])  # fmt: skip
def test_a_nap_is_longer_than_a_condition_says(chosen, condition, more, init, naps):
    made = chosen(if_(condition), more, init)
    assert made.naps == naps and not made.uptimes


def test_a_time_that_is_kept_in_a_table_is_one_that_was(chosen):
    body = (
        "int key = 0; u64 *last = lookup(&seen, &key); if (last) { if (now() - *last > HOUR) lost++; *last = now(); }"
    )
    assert chosen(body).naps == (3673,)


@pytest.mark.parametrize(("condition", "more", "pids"), [
    ("p->pid == 31337", "", (31337,)), ("p->pid != 31337", "", (31337,)), ("31337 == p->tgid", "", (31337,)),
    ("p->pid > 100000", "", (100001,)), ("p->pid >= 100000", "", (100000,)), ("!(p->pid < 50000)", "", (50000,)),
    ("(p->pid & 1023) == 777", "", (32768 | 777,)), ("(u32)p->pid % 1000 == 999", "", (4999,)),
    ("p->pid >> 12 == 5", "", (20480,)),
    ("p->pid == chosen", "const volatile s32 chosen = 31337;", (31337,)),
    ("p->pid == chosen", "s32 chosen = 31337;", (31337,)),
    ("is(p)", "NOINLINE int is(struct task_struct *t) { return t->tgid == 31337; }", (31337,)),
    ("p->real_parent->pid == 31337", "", (31337,)),
    ("p->pid == 31337 || p->pid == 31338 || p->tgid == 40000", "", (31337, 31338, 40000)),
    ("p->pid & 1", "", ()), ("p->pid > 0", "", ()), ("(u32)p->pid % 3 == 1", "", ()), ("p->pid == 1 << 23", "", ()),
])  # fmt: skip
def test_tasks_have_the_numbers_of_conditions(chosen, condition, more, pids):
    made = chosen(if_(condition), more)
    assert made.pids == pids and not (made.names or made.levels or made.uptimes)


def test_a_number_may_be_set_by_the_loader(chosen):
    made = chosen(if_("p->pid == chosen"), "const volatile s32 chosen = 0;", arguments=("chosen=4711",))
    assert made.pids == (4711,)


def test_no_more_than_eight_numbers_are_tried(chosen):
    assert chosen("".join(if_(f"p->pid == {number}") for number in range(5000, 5020))).pids == tuple(range(5000, 5008))


@pytest.mark.parametrize(("body", "more"), [
    (if_('!__builtin_memcmp(p->comm, "batchd", 7)'), ""),
    (if_("p->comm[0] == 'b' && p->comm[1] == 'a' && p->comm[2] == 't' && p->comm[3] == 'c' && p->comm[4] == 'h' "
         "&& p->comm[5] == 'd' && !p->comm[6]"), ""),
    (if_("is(p)"), 'static const char name[] = "batchd"; INLINE int is(struct task_struct *p) '
     "{ for (int i = 0; i < 7; i++) if (p->comm[i] != name[i]) return 0; return 1; }"),
    (if_("is(p->comm)"), 'NOINLINE int is(const char *comm) { return !__builtin_memcmp(comm, "batchd", 7); }'),
    (if_('!strncmp(p->comm, 16, "batchd")'), ""),
    (if_('!strncmp(p->comm, 6, "batchd-server")'), ""),
    ('char comm[16]; read_kernel_str(comm, 16, p->comm); if (!__builtin_memcmp(comm, "batchd", 7)) lost++;', ""),
    ('char comm[16]; read_kernel(comm, 16, p->comm); if (!strncmp(comm, 16, "batchd")) lost++;', ""),
    ('char comm[16]; __builtin_memcpy(comm, p->comm, 16); if (!__builtin_memcmp(comm, "batchd", 7)) lost++;', ""),
    ('char comm[16]; current_comm(comm, 16); if (!__builtin_memcmp(comm, "batchd", 7)) lost++;', ""),
    (if_("(*(u64 *)p->comm & 0xffffffffffffffull) == 0x646863746162ull"), ""),
    (if_('!strncmp(p->real_parent->comm, 16, "batchd")'), ""),
    (if_("!strncmp(p->comm, 16, name)"), 'const volatile char name[16] = "batchd";'),
])  # fmt: skip
def test_tasks_bear_the_names_of_conditions(chosen, body, more):
    made = chosen(body, more)
    assert made.names == (b"batchd",) and not (made.pids or made.levels or made.uptimes)


def test_names_that_begin_alike_are_each_tried(chosen):
    made = chosen(if_('!__builtin_memcmp(p->comm, "ba", 3)') + if_('!__builtin_memcmp(p->comm, "batchd", 7)'))
    assert made.names == (b"ba", b"batchd")


@pytest.mark.parametrize(("condition", "more", "levels"), [
    ("p->scx.weight > 8000", "", (-20,)), ("!(p->scx.weight <= 8000)", "", (-20,)),
    ("p->scx.weight == 655", "", ()), ("p->scx.weight == 932", "", (-10,)), ("p->scx.weight < 10", "", (11, 19)),
    ("p->scx.weight > heavy", "const volatile u32 heavy = 8000;", (-20,)),
    ("heavy(p->scx.weight)", "INLINE int heavy(u32 weight) { return weight / 1000 >= 8; }", (-20,)),
    ("p->static_prio == 139", "", (19,)), ("p->static_prio - 120 == 19", "", (19,)),
    ("p->static_prio < 105", "", (-16, -20)),
    ("p->scx.weight > 100", "", ()), ("p->scx.weight > 9000", "", ()), ("p->scx.weight == 0", "", ()),
])  # fmt: skip
def test_tasks_have_the_levels_of_conditions(chosen, condition, more, levels):
    made = chosen(if_(condition), more)
    assert made.levels == levels and not (made.pids or made.names or made.uptimes)


def test_a_weight_may_come_as_an_argument(chosen):
    assert chosen("", set_weight=if_("weight > 8000")).levels == (-20,)


def test_who_asks_for_nothing_of_that_pays_nothing(chosen):
    assert chosen(if_("p->pad > 5")) == NOTHING

# SPDX-License-Identifier: Apache-2.0
"""What the guest's loader fills and sets, in a real guest: each policy is attached, and some compare for themselves."""

from __future__ import annotations

import pytest
from corpus import POLICIES, sets_of

from bpf.build import compile_policy
from policy_lake.events import Attached
from policy_lake.guest import GuestJob, GuestStep
from verifier_vm.machine.vm import run

pytestmark = pytest.mark.vm
GOOD = POLICIES / "good"
FILLED = tuple(sorted(path for kind in ("mirror", "kconfig", "given") for path in GOOD.glob(f"{kind}_*.bpf.c")))
# Init fails with the number of the first that is not as a loader fills it.
FILLS = """#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
char _license[] SEC("license") = "GPL";
const volatile u64 __SCX_SLICE_DFL __attribute__((weak));
const volatile u64 __SCX_DSQ_LOCAL_ON __attribute__((weak));
const volatile u64 __SCX_NOTHING_OF_THIS_KERNEL __attribute__((weak));
const volatile u32 nr_cpu_ids = 1;
const volatile u64 nr_online_cpus;
const volatile u32 nr_cpus = 64;
const volatile u32 trace_len;
char trace[1] SEC(".data.trace");
u64 each[1] SEC(".data.each");
const volatile u32 given = 3;
extern int CONFIG_HZ __kconfig;
extern bool CONFIG_SCHED_CLASS_EXT __kconfig;
extern int LINUX_KERNEL_VERSION __kconfig;
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, u32); __type(value, u64); } unsized SEC(".maps");
s32 scx_bpf_nr_online(void);
static int wrong(void)
{
	u32 last = nr_cpu_ids - 1;

	if (__SCX_SLICE_DFL != 20000000 || __SCX_DSQ_LOCAL_ON != 0xc000000000000000ULL || __SCX_NOTHING_OF_THIS_KERNEL)
		return 1;
	if (nr_cpu_ids != 2 || nr_online_cpus != 2 || nr_cpus != 64)
		return 2;
	if (trace_len != 32768 || given != 5)
		return 3;
	if (CONFIG_HZ < 100 || !CONFIG_SCHED_CLASS_EXT || LINUX_KERNEL_VERSION < 0x060c00)
		return 4;
	if (!bpf_map_lookup_elem(&unsized, &last))
		return 5;
	return 0;
}
SEC("struct_ops.s/first_init")
s32 BPF_PROG(first_init)
{
	return -wrong();
}
SEC("struct_ops.s/second_init")
s32 BPF_PROG(second_init)
{
	return 0;
}
SEC(".struct_ops.link")
struct sched_ext_ops first = { .init = (void *)first_init, .timeout_ms = 5000, .name = "first" };
SEC(".struct_ops.link")
struct sched_ext_ops second = { .init = (void *)second_init, .timeout_ms = 5000, .name = "second" };
""".replace("s32 scx_bpf_nr_online(void);\n", "")


def attached(guest, steps, files):
    """What each attach came to, each in the same guest after the one before was taken off."""
    report = run(GuestJob(files, tuple(steps)), guest.machine)
    return [event for event in report.events if isinstance(event, Attached)]


def compiled(guest, text):
    return compile_policy(text, name="a.bpf.c", vmlinux_dir=guest.kernel.headers).data


def test_policies_that_a_loader_completes_are_loaded(guest):
    steps, files = [], {}
    for number, path in enumerate(FILLED):
        files[f"{number}.o"] = compiled(guest, path.read_text())
        words = tuple(f"{name}={value}" for name, value in sets_of(path).items())
        steps += [GuestStep("attach", (f"{number}.o", *words)), GuestStep("detach")]
    events = attached(guest, steps, files)
    assert [(event.ok, event.ops) for event in events] == [(True, path.name.removesuffix(".bpf.c")) for path in FILLED]


def test_what_is_filled_and_set_is_what_the_policy_sees(guest):
    files = {"a.o": compiled(guest, FILLS)}
    flags = "ops.flag=SCX_OPS_ENQ_EXITING,SCX_OPS_SWITCH_PARTIAL"
    steps = [
        GuestStep("attach", ("a.o", "given=5", "ops.use=second", flags)), GuestStep("detach"),
        GuestStep("attach", ("a.o", "given=5", "ops.use=first")), GuestStep("detach"),
        GuestStep("attach", ("a.o", "given=4", "ops.use=first")),
    ]  # fmt: skip
    second, first, wrong = attached(guest, steps, files)
    assert (second.ok, second.ops) == (True, "second") and "flags:c" in second.log
    assert (first.ok, first.ops) == (True, "first"), first
    assert not wrong.ok and "ops.init() failed (-3)" in " ".join(wrong.kmsg), wrong


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "more than one sched_ext policy in the object: first second"),
        (("ops.use=third",), "no sched_ext policy 'third' in the object; it has: first second"),
        (("ops.use=first", "ops.flag=SCX_OPS_NONE"), "this kernel has no flag 'SCX_OPS_NONE'"),
        (("ops.use=first", "ops.other=1"), "'ops.other' is no field of the ops that can be set"),
        (("ops.use=first", "gone=1"), "the object has no knob 'gone'"),
    ],
)
def test_what_cannot_be_set_is_told_by_the_loader(guest, words, complaint):
    (event,) = attached(guest, [GuestStep("attach", ("a.o", *words))], {"a.o": compiled(guest, FILLS)})
    assert (event.ok, event.phase) == (False, "open") and complaint in event.log


def test_programs_beside_the_ops_are_attached_too(guest):
    """The exit record's code is what a tracepoint of the policy's counted."""
    beside = """u64 switches;
SEC("tp_btf/sched_switch")
int BPF_PROG(count, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	__sync_fetch_and_add(&switches, 1);
	return 0;
}

SEC("struct_ops/"""
    text = (GOOD / "plain_global.bpf.c").read_text().replace('SEC("struct_ops/', beside, 1)
    text = text.replace("uei.exit_code = ei->exit_code", "uei.exit_code = switches")
    steps = (GuestStep("attach", ("a.o",)), GuestStep("run", ("adversary", "W1", "seconds=0.3")), GuestStep("detach"))
    report = run(GuestJob({"a.o": compiled(guest, text)}, steps), guest.machine)
    assert report.events[-1].exit_record.code > 10, report.events[-1]


def test_another_subsystems_struct_ops_is_named(guest):
    files = {"a.o": compiled(guest, (POLICIES / "other_ops_fails.bpf.c").read_text())}
    (event,) = attached(guest, [GuestStep("attach", ("a.o",))], files)
    assert "the object's struct_ops is a tcp_congestion_ops, not a sched_ext_ops" in event.log

# SPDX-License-Identifier: Apache-2.0
"""Faults of time: virtual and real, weights, slices, yields, shares of cgroups."""

from __future__ import annotations

from dataclasses import replace

from policy_fuzz.compose import slice_of
from policy_fuzz.designs import Design
from policy_fuzz.faults_inserts import inserts
from policy_fuzz.mutation import mutation
from policy_fuzz.program import Program, line
from policy_fuzz.queues import BAND_IN_ORDER

USED = "sx_cpu_time_since(p, tc->mark)"
CLAMPED = "every enqueue moves the vtime to the clock's neighbourhood anyway"


def _vtime(design: Design) -> bool:
    return design.queues == "vtime"


def _due(design: Design) -> bool:
    return design.queues == "due"


def _bounded(design: Design) -> str:
    return "running cuts every slice to its bound" if design.cut == "yes" else ""


@mutation("no-lag-limit", "F14", "who slept long runs alone until it has caught up", only=_vtime)
def _(program: Program, design: Design) -> Program:
    return program.change("enqueue", "clamp", lag="(1ULL << 62)")


@mutation("no-clamp", "F14", "who slept long runs alone until it has caught up", only=_vtime)
def _(program: Program, design: Design) -> Program:
    return program.change("enqueue", "insert", vtime="p->scx.dsq_vtime").drop("enqueue", "clamp")


@mutation("no-enable", "F15", "a new task starts with a vtime of 0", only=_vtime, unseen=lambda _: CLAMPED)
def _(program: Program, design: Design) -> Program:
    return program.without("enable")


@mutation("starts-far-ahead", "F15", "a new task starts 100 s behind all others", only=_vtime, unseen=lambda _: CLAMPED)
def _(program: Program, design: Design) -> Program:
    return program.change("enable", "start", vtime="clock + 100 * SX_SEC")


@mutation("weight-inverted", "F16", "nice tasks get more than others", only=_vtime)
def _(program: Program, design: Design) -> Program:
    return program.change("charge", "charge", cost=f"{USED} * p->scx.weight / SX_WEIGHT_NICE_0")


@mutation("weight-unread", "F16", "nice levels have no effect", only=_vtime, need="nice")
def _(program: Program, design: Design) -> Program:
    return program.change("charge", "charge", cost=USED)


@mutation("clock-stands", "F16", "all stand at the clock's lead, and nice levels have no effect", only=_vtime,
          need="nice")  # fmt: skip
def _(program: Program, design: Design) -> Program:
    return program.drop("running", "advance")


@mutation("slice-weight-inverted", "F16", "nice tasks get more than others")
def _(program: Program, design: Design) -> Program:
    return program.change("slice_of", "scale", by="SX_WEIGHT_NICE_0", unit="p->scx.weight")


@mutation("slice-weight-unread", "F16", "nice levels have no effect", need="nice",
          only=lambda design: design.queues not in ("bands", "due"))  # fmt: skip
def _(program: Program, design: Design) -> Program:
    return program.change("slice_of", "scale", by="SX_WEIGHT_NICE_0")


@mutation("bands-inverted", "F16", "the lightest go first, and nice tasks get more than others",
          only=lambda design: design.queues == "bands")  # fmt: skip
def _(program: Program, design: Design) -> Program:
    return program.change("dispatch", "move", queue=f"{design.number} - 1 - ({BAND_IN_ORDER})")


@mutation("due-inverted", "F16", "the heavier a task, the longer it is put off",
          only=lambda design: _due(design) and design.number == "8")  # fmt: skip
def _(program: Program, design: Design) -> Program:
    return program.change("enqueue", "put_off", ns="(s64)(p->scx.weight * SX_MS)")


@mutation("put-off-for-ever", "F16", "a light task is put off by a minute while others come", only=_due)
def _(program: Program, design: Design) -> Program:
    return program.change("enqueue", "put_off", ns="p->scx.weight < 100 ? 60 * SX_SEC : 0")


@mutation("charged-by-slice", "F17", "CPU time is charged from what is left of a slice", only=_vtime,
          unseen=lambda _: "nobody preempts here, so what is left of a slice is what was not used of it")  # fmt: skip
def _(program: Program, design: Design) -> Program:
    cost = f"sx_scale_by_weight({design.slice_ms} * SX_MS - p->scx.slice, p->scx.weight)"
    return program.change("charge", "charge", cost=cost)


@mutation("clock-goes-back", "F18", "new tasks start far before those that wait", only=_vtime)
def _(program: Program, design: Design) -> Program:
    return program.put("running", "advance", line("advance", "clock = p->scx.dsq_vtime;"))


def _due_at(program: Program, design: Design, due: str) -> Program:
    text = "sx_insert_vtime(p, QUEUE, $slice, $due, enq_flags);"
    made = line("insert", text, slice=slice_of(design, "p"), due=due)
    return program.put("enqueue", "insert", made)


@mutation("due-in-32-bits", "F18", "every 4.3 s the time of all that come goes back before those that wait", only=_due)
def _(program: Program, design: Design) -> Program:
    return _due_at(program, design, "(u32)(sx_now() + put_off)")


@mutation("due-in-32-bit-us", "F18", "after 71.6 minutes the time goes back before those that wait", only=_due)
def _(program: Program, design: Design) -> Program:
    return _due_at(program, design, "(u32)((sx_now() + put_off) / SX_US)")


@mutation("last-come-first", "F18", "the order is upside down: who came first waits while others come", only=_due)
def _(program: Program, design: Design) -> Program:
    return _due_at(program, design, "~(sx_now() + put_off)")


@mutation("minute-slice", "F19", "the second hog on a CPU waits a minute", unseen=_bounded)
def _(program: Program, design: Design) -> Program:
    return program.change(inserts(program), "insert", slice="60 * SX_SEC")


@mutation("endless-slice", "F19", "the second hog on a CPU never runs", unseen=_bounded)
def _(program: Program, design: Design) -> Program:
    return program.change(inserts(program), "insert", slice="SCX_SLICE_INF")


@mutation("seconds-for-ms", "F19", "slices are a thousand times too long", unseen=_bounded,
          only=lambda design: design.slice == "constant")  # fmt: skip
def _(program: Program, design: Design) -> Program:
    return program.change(inserts(program), "insert", slice=f"{design.slice_ms} * SX_SEC")


@mutation("refilled", "F19", "who is interrupted again and again runs on for ever",
          unseen=lambda design: "" if int(design.slice_ms) >= 8 else "slices end before an interruption comes",
          only=lambda design: design.slice != "weight" and design.groups == "no")  # fmt: skip
def _(program: Program, design: Design) -> Program:
    slice_ns = "slice_ns" if design.slice == "knob" else f"{design.slice_ms} * SX_MS"
    return program.put("running", "cut", line("refill", "sx_set_slice(p, $slice);", slice=slice_ns))


@mutation("slice-of-nothing", "F20", "a task whose slice is 0 runs to the next tick",
          unseen=lambda _: "it only switches more often")  # fmt: skip
def _(program: Program, design: Design) -> Program:
    return program.change(inserts(program), "insert", slice="0")


@mutation("yield-ignored", "F40", "who yields keeps the CPU to the end of its slice")
def _(program: Program, design: Design) -> Program:
    return program.drop("yield", "yield")


@mutation("group-weight-unset", "F41", "a cgroup's weight is never changed")
def _(program: Program, design: Design) -> Program:
    return program.drop("cgroup_set_weight", "weight")


@mutation("group-weight-at-start", "F41", "weights that cgroups had before the policy came have no effect",
          only=lambda design: design.groups == "weights")  # fmt: skip
def _(program: Program, design: Design) -> Program:
    return program.change("cgroup_init", "weight", weight="100")


@mutation("group-move-missed", "F41", "a task keeps the weight of the cgroup that it was born in")
def _(program: Program, design: Design) -> Program:
    return program.drop("cgroup_move", "group")


@mutation("group-weight-inverted", "F41", "the lighter a cgroup, the more it gets")
def _(program: Program, design: Design) -> Program:
    text = "u64 ns = $base * 100 / ($by ?: 1);"
    return program.edit("group_slice", "scale", lambda one: (replace(one, text=text),))


@mutation("group-weight-unread", "F41", "weights of cgroups have no effect")
def _(program: Program, design: Design) -> Program:
    return program.change("group_slice", "scale", by="100")

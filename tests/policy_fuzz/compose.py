# SPDX-License-Identifier: Apache-2.0
"""From a design to its policy: what all have in common; `queues.py` has what depends on the kind of queue."""

from __future__ import annotations

from dataclasses import replace

from policy_fuzz import records
from policy_fuzz.designs import Design
from policy_fuzz.program import Line, Lines, Program, line
from policy_fuzz.queues import Queues, queues_of

FLAGS = {
    "none": (),
    "last": ("SCX_OPS_ENQ_LAST",),
    "exiting": ("SCX_OPS_ENQ_EXITING",),
    "queued_wakeup": ("SCX_OPS_ALLOW_QUEUED_WAKEUP",),
}


def compose(design: Design) -> Program:
    """The policy of a sound design."""
    queues = queues_of(design)
    slice_ns = slice_of(design, "p")
    callbacks: dict[str, Lines] = {
        "enqueue": enqueue(design, queues, slice_ns),
        "dispatch": queues.dispatch,
        "init": init(queues),
        "exit": (line("record", "sx_record_exit(&sx_exit, ei);"),),
    }
    if design.select != "default":
        callbacks["select_cpu"] = SELECTS[design.select](slice_ns)
    if design.cut == "yes":
        callbacks["running"] = (line(
            "cut", "sx_cut_slice(p, sx_bounded_slice($slice, $queued, $cpus));", slice=slice_ns, queued=queues.queued,
            cpus="cpus" if design.shared else "1",
        ),)  # fmt: skip
    if design.recheck == "yes":
        waits = "sx_recheck_before_idle(cpu, idle, $waits);"
        callbacks["update_idle"] = (line("recheck", waits, waits=queues.waits),)
    if design.yields == "yes":
        callbacks["yield"] = (
            line("yield", "if (!to)", line("end", "sx_set_slice(from, 0);")),
            line("return", "return false;"),
        )
    if design.hotplug == "yes":
        callbacks["cpu_online"] = (line("count", "__sync_fetch_and_add(&cpus, 1);"),)
        callbacks["cpu_offline"] = (line("count", "__sync_fetch_and_add(&cpus, -1);"),)
    program = Program(
        includes=includes_of(design),
        queues=queues.ids,
        helpers={**slice_helpers(design), **queues.helpers},
        callbacks=callbacks,
        declarations=(*knobs_of(design), *queues.declarations, "static u32 cpus;"),
        flags=(*(("SCX_OPS_KEEP_BUILTIN_IDLE",) if design.recheck == "yes" else ()), *FLAGS[design.flag]),
    )
    return records.keep(program, design)


def includes_of(design: Design) -> tuple[str, ...]:
    """The primitives that it uses."""
    needed = {"idle": True, "kthread": design.pinned == "kthread", "slice": True, "due": design.queues == "due",
              "vtime": design.queues == "vtime", "cputime": design.storage != "none",
              "steal": design.queues == "percpu"}  # fmt: skip
    return tuple(name for name, wanted in sorted(needed.items()) if wanted)


def slice_of(design: Design, task: str) -> str:
    """The C expression of a task's slice."""
    if design.groups == "weights":
        return f"group_slice({task})"
    return {"constant": f"{design.slice_ms} * SX_MS", "knob": "slice_ns", "weight": f"slice_of({task})"}[design.slice]


def knobs_of(design: Design) -> tuple[str, ...]:
    if design.slice != "knob":
        return ()
    unit = "/* ns, 500000..20000000: longest time on a CPU while others wait */"
    return (f"const volatile u64 slice_ns = {design.slice_ms} * SX_MS; {unit}",)


def slice_helpers(design: Design) -> dict[str, Lines]:
    """The function that scales a slice by the task's weight, where it is."""
    if design.slice != "weight":
        return {}
    return {"static __always_inline u64 slice_of(const struct task_struct *p)": (
        line("scale", "u64 ns = $base * $by / $unit;", base=f"{design.slice_ms} * SX_MS", by="p->scx.weight",
             unit="SX_WEIGHT_NICE_0"),
        line("floor", "if (ns < $least)", line("floor_is", "return $least;", least="SX_MS"), least="SX_MS"),
        line("ceiling", "return ns > $most ? $most : ns;", most="20 * SX_MS"),
    )}  # fmt: skip


def enqueue(design: Design, queues: Queues, slice_ns: str) -> Lines:
    """Who goes first, where all others wait, and who is woken for them."""
    lines: list[Line] = []
    local = line("local", "sx_insert(p, SX_DSQ_LOCAL, $slice, enq_flags);", slice=slice_ns)
    done = line("done", "return;")
    if design.flag == "last":
        lines.append(line("last", "if (enq_flags & SX_ENQ_LAST)", local, done))
    if design.pinned == "kthread":
        kthread = line("special", "if (sx_insert_woken_kthread(p, $slice, enq_flags))", done, slice=slice_ns)
        lines.append(kthread)
    if design.pinned == "local":
        # Onto an idle CPU alone: on a busy one those that are bound and wake again and again would starve all others.
        lines.append(line("special", "if ($who)", local, done, who=BOUND_AND_IDLE))
    return (*lines, *queues.insert, *wake_of(design))


BOUND_AND_IDLE = "sx_is_pinned(p) && (enq_flags & SX_ENQ_WAKEUP) && sx_claim_idle_cpu(sx_task_cpu(p))"

# Who is sent straight to an idle CPU needs no kick: these two kick for all that wake.
KICKS_ALL = ("prev", "kick")


def wake_of(design: Design) -> Lines:
    """Waking an idle CPU for the task that was just queued."""
    if design.wake == "primitive":
        return (line("wake", "", line("wakes", "sx_wake_idle_cpu_for(p);")),)
    kick = line("kick", "sx_kick_cpu(idle_cpu, SX_KICK_IDLE);")
    if design.wake == "own":
        pick: Lines = (line("wakes", "s32 idle_cpu = sx_pick_idle_cpu(p->cpus_ptr, 0);"),)
    else:  # a whole idle core first
        pick = (
            line("wakes", "s32 idle_cpu = sx_pick_idle_cpu(p->cpus_ptr, SX_PICK_IDLE_CORE);"),
            line("wakes", "if (idle_cpu < 0)", line("again", "idle_cpu = sx_pick_idle_cpu(p->cpus_ptr, 0);")),
        )
    return (line("wake", "", *pick, line("wakes", "if (idle_cpu >= 0)", kick)),)


def init(queues: Queues) -> Lines:
    return (line("cpus", "cpus = sx_nr_online_cpus();"), *queues.create)


def _place(slice_ns: str) -> Lines:
    return (line("place", "return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, $slice);", slice=slice_ns),)


def _direct(slice_ns: str) -> Lines:
    return (
        line("idle", "bool idle = false;"),
        line("choose", "s32 cpu = sx_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);"),
        line("if_idle", "if (idle)", _local(slice_ns)),
        line("return", "return $cpu;", cpu="cpu"),
    )


def _pick(slice_ns: str) -> Lines:
    return (
        line("choose", "s32 cpu = sx_pick_idle_cpu(p->cpus_ptr, 0);"),
        line("none", "if (cpu < 0)", line("stay", "return $cpu;", cpu="prev_cpu")),
        _local(slice_ns),
        line("return", "return $cpu;", cpu="cpu"),
    )


def _core(slice_ns: str) -> Lines:
    core = line("choose", "s32 cpu = sx_pick_idle_cpu(p->cpus_ptr, SX_PICK_IDLE_CORE);")
    again = line("again", "if (cpu < 0)", line("any", "cpu = sx_pick_idle_cpu(p->cpus_ptr, 0);"))
    return (core, again, *_pick(slice_ns)[1:])


def _prev(_: str) -> Lines:
    return (line("return", "return $cpu;", cpu="prev_cpu"),)


def _kick(slice_ns: str) -> Lines:
    kick = line("if_idle", "if (idle)", line("kick", "sx_kick_cpu(cpu, SX_KICK_IDLE);"))
    return tuple(kick if one.role == "if_idle" else one for one in _direct(slice_ns))


def _local(slice_ns: str) -> Line:
    return line("direct", "sx_insert(p, $queue, $slice, 0);", queue="SX_DSQ_LOCAL", slice=slice_ns)


SELECTS = {"place": _place, "direct": _direct, "pick": _pick, "core": _core, "prev": _prev, "kick": _kick}


def without_flag(program: Program, flag: str) -> Program:
    """The same without one of SCX_OPS_…."""
    return replace(program, flags=tuple(one for one in program.flags if one != flag))

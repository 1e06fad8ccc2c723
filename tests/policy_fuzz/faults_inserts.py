# SPDX-License-Identifier: Apache-2.0
"""Faults of who is inserted, where, how often, and into what that exists."""

from __future__ import annotations

from dataclasses import replace

from policy_fuzz.compose import slice_of
from policy_fuzz.designs import ORDERED, Design
from policy_fuzz.mutation import REFUSED, mutation
from policy_fuzz.program import Line, Lines, Program, line

RETURN = line("lost", "return;")


def _lose(program: Program, condition: str) -> Program:
    where = "push" if program.has("enqueue", "push") else "insert"
    return program.before("enqueue", where, line("lose", f"if ({condition})", RETURN))


def _queue_of(program: Program) -> str:
    found: list[str] = []

    def look(one: Line) -> Lines:
        found.append(one.args["queue"])
        return (one,)

    program.edit(inserts(program), "insert", look)
    return found[0]


def inserts(program: Program) -> str:
    """Where the insert is that all tasks take."""
    return "dispatch" if program.has("dispatch", "insert") else "enqueue"


def is_unordered(design: Design) -> bool:
    return design.queues not in ORDERED


def has_loop(design: Design) -> bool:
    return design.queues in ("percpu", "hash", "bands")


@mutation("drop-insert", "F01", "who is enqueued never runs again")
def _(program: Program, design: Design) -> Program:
    return program.drop("enqueue", "insert")


@mutation("lose-light", "F01", "tasks of a higher nice level never run again")
def _(program: Program, design: Design) -> Program:
    return _lose(program, "p->scx.weight < 100")


@mutation("lose-some", "F01", "one task of 32 never runs again")
def _(program: Program, design: Design) -> Program:
    return _lose(program, "p->pid % 32 == 7")


@mutation("lose-long-queue", "F01", "with more than 60 tasks that wait, one is lost",
          only=lambda design: design.shared and design.queues != "pids")  # fmt: skip
def _(program: Program, design: Design) -> Program:
    return _lose(program, "sx_dsq_nr_queued(QUEUE) > 60")


@mutation("lose-after-hour", "F01", "after 71.5 minutes nobody is inserted")
def _(program: Program, design: Design) -> Program:
    return _lose(program, "sx_now() > 4290 * SX_SEC")


@mutation("lose-last", "F01", "the last task of a CPU never runs again", only=lambda design: design.flag == "last")
def _(program: Program, design: Design) -> Program:
    return program.put("enqueue", "last", line("last", "if (enq_flags & SX_ENQ_LAST)", RETURN))


@mutation("lose-bound", "F01", "a bound task that wakes never runs again", only=lambda design: design.pinned == "local")
def _(program: Program, design: Design) -> Program:
    return program.put("enqueue", "special", line("special", "if (sx_is_pinned(p))", RETURN))


@mutation("twice", "F07", "the second insert ends the policy", only=lambda design: design.queues != "pids")
def _(program: Program, design: Design) -> Program:
    return program.edit("enqueue", "insert", lambda one: (one, one))


@mutation("falls-through", "F07", "a bound task that wakes is inserted twice",
          only=lambda design: design.pinned != "queue" and design.queues != "pids")  # fmt: skip
def _(program: Program, design: Design) -> Program:
    if design.pinned == "local":
        return program.edit("enqueue", "special", lambda one: (replace(one, body=one.body[:1]),))
    text = "sx_insert_woken_kthread(p, $slice, enq_flags);"
    return program.put("enqueue", "special", line("special", text, slice=slice_of(design, "p")))


@mutation("twice-in-select", "F07", "the second insert ends the policy")
def _(program: Program, design: Design) -> Program:
    return program.edit("select_cpu", "direct", lambda one: (one, one))


@mutation("other-task", "F08", "the task that wakes the other is inserted, and ends the policy")
def _(program: Program, design: Design) -> Program:
    return program.change("enqueue", "insert", task="bpf_get_current_task_btf()")


@mutation("no-such-queue", "F02", "the first insert ends the policy")
def _(program: Program, design: Design) -> Program:
    return program.change(inserts(program), "insert", queue=f"{_queue_of(program)} + 100")


@mutation("next-queue", "F02", "who belongs into the last queue is inserted one behind it", only=has_loop)
def _(program: Program, design: Design) -> Program:
    return program.change("enqueue", "insert", queue=f"{_queue_of(program)} + 1")


@mutation("one-queue-too-few", "F02", "the last queue is not made", only=has_loop)
def _(program: Program, design: Design) -> Program:
    to = "(s32)queues - 1" if design.queues == "percpu" else "QUEUES - 1"
    return program.change("init", "create", to=to)


@mutation("queues-from-one", "F02", "the first queue is not made", only=has_loop)
def _(program: Program, design: Design) -> Program:
    return program.change("init", "create", **{"from": "1"})


@mutation("never-made", "F02", "no queue is made", only=lambda design: not has_loop(design))
def _(program: Program, design: Design) -> Program:
    return program.change("init", "create", create="0")


@mutation("no-init", "F02", "init is not in the table, so no queue is made")
def _(program: Program, design: Design) -> Program:
    return program.without("init")


@mutation("second-not-made", "F02", "the far group's queue is not made", only=lambda design: design.queues == "group")
def _(program: Program, design: Design) -> Program:
    return program.change("init", "create", create="sx_create_dsq(NEAR)")


@mutation("queues-of-online", "F02", "a CPU that comes late has no queue", only=lambda design: design.hotplug == "yes")
def _(program: Program, design: Design) -> Program:
    return program.change("init", "count", count="sx_nr_online_cpus()")


@mutation("vtime-on-local", "F05", "the kernel says no to the first insert")
def _(program: Program, design: Design) -> Program:
    return _ordered(program, design, "SX_DSQ_LOCAL", "0")


@mutation("vtime-on-global", "F05", "the kernel says no to the first insert")
def _(program: Program, design: Design) -> Program:
    return _ordered(program, design, "SX_DSQ_GLOBAL", "p->scx.dsq_vtime")


def _ordered(program: Program, design: Design, queue: str, vtime: str) -> Program:
    text = "sx_insert_vtime(p, $queue, $slice, $vtime, enq_flags);"
    made = line("insert", text, queue=queue, slice=slice_of(design, "p"), vtime=vtime)
    return program.put("enqueue", "insert", made)


@mutation("mixed-by-wake", "F06", "ordered tasks meet appended ones", only=lambda design: design.queues != "pids")
def _(program: Program, design: Design) -> Program:
    return _mixed(program, design, "enq_flags & SX_ENQ_WAKEUP")


@mutation("mixed-by-weight", "F06", "heavy tasks are put into the others' queue in another way",
          only=lambda design: design.queues not in ("pids", "bands"))  # fmt: skip
def _(program: Program, design: Design) -> Program:
    return _mixed(program, design, "p->scx.weight > 100")


def _mixed(program: Program, design: Design, condition: str) -> Program:
    queue, slice_ns = _queue_of(program), slice_of(design, "p")
    text = "sx_insert(p, $queue, $slice, enq_flags);"
    if is_unordered(design):
        text = "sx_insert_vtime(p, $queue, $slice, sx_now(), enq_flags);"
    other = line("mixed", text, queue=queue, slice=slice_ns)

    def split(one: Line) -> Lines:
        return (line("if", f"if ({condition})", other), line("else", "else", one))

    return program.edit("enqueue", "insert", split)


@mutation("immed", "F32", "the kernel says no to the flag")
def _(program: Program, design: Design) -> Program:
    where = inserts(program)
    return program.change(where, "insert", flags="enq_flags | SCX_ENQ_IMMED" if where == "enqueue" else "SCX_ENQ_IMMED")


@mutation("head", "F19", "whose slice ended goes to the front, and runs on", only=is_unordered)
def _(program: Program, design: Design) -> Program:
    return program.change("enqueue", "insert", flags="enq_flags | SX_ENQ_HEAD")


@mutation("heavy-first", "F03", "heavy hogs stand in the CPU's own queue, and the shared one is never reached")
def _(program: Program, design: Design) -> Program:
    local = line("local", "sx_insert(p, SX_DSQ_LOCAL, $slice, enq_flags);", slice=slice_of(design, "p"))
    return program.first("enqueue", line("heavy", "if (p->scx.weight > 100)", local, RETURN))


@mutation("bound-always-first", "F03", "bound hogs stand in the CPU's own queue, and the shared one is never reached",
          only=lambda design: design.pinned == "local")  # fmt: skip
def _(program: Program, design: Design) -> Program:
    return program.change("enqueue", "special", who="sx_is_pinned(p)")


@mutation("push-unseen", "F26", "with more tasks than the BPF queue holds, one is lost")
def _(program: Program, design: Design) -> Program:
    return program.put("enqueue", "push", line("push", "bpf_map_push_elem(&waiting, &pid, 0);"))


@mutation("no-free-slots", "F09", "64 inserts of one dispatch overflow its buffer",
          only=lambda design: design.queues == "pids")  # fmt: skip
def _(program: Program, design: Design) -> Program:
    return program.drop("dispatch", "slots").change("dispatch", "take", most="64")


@mutation("exiting-by-pid", "F25", "an exiting task whose number went while it waited never ends",
          only=lambda design: design.queues == "pids")  # fmt: skip
def _(program: Program, design: Design) -> Program:
    return replace(program, flags=(*program.flags, "SCX_OPS_ENQ_EXITING"))


@mutation("forget-release", REFUSED, "the kernel does not load it: a reference is kept")
def _(program: Program, design: Design) -> Program:
    return program.drop("dispatch", "release")


@mutation("forget-null-check", REFUSED, "the kernel does not load it: the record may be missing")
def _(program: Program, design: Design) -> Program:
    return program.put("stopping", "used", line("used", "tc->used += sx_cpu_time_since(p, tc->mark);"))

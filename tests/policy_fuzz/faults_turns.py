# SPDX-License-Identifier: Apache-2.0
"""Faults of dispatch: queues that nobody or only some empty, and turns that do not end."""

from __future__ import annotations

from dataclasses import replace

from policy_fuzz.compose import slice_of
from policy_fuzz.designs import Design
from policy_fuzz.faults_inserts import is_unordered
from policy_fuzz.mutation import mutation
from policy_fuzz.program import Line, Program, line

RETURN = line("away", "return;")
ONE_QUEUE = ("fifo", "vtime", "due")


def _shared(design: Design) -> bool:
    return design.shared


def _one_queue(design: Design) -> bool:
    return design.queues in ONE_QUEUE


def _several(design: Design) -> bool:
    return design.queues in ("hash", "bands")


def _at_start(program: Program, condition: str) -> Program:
    return program.first("dispatch", line("away", f"if ({condition})", RETURN))


def _looks_again(design: Design) -> str:
    return "a CPU looks again before it sleeps" if design.recheck == "yes" else ""


@mutation("no-move", "F03", "no CPU takes from its queue")
def _(program: Program, design: Design) -> Program:
    return program.drop("dispatch", "all" if _several(design) else "move")


@mutation("no-dispatch", "F03", "dispatch is not in the table, so no queue is emptied")
def _(program: Program, design: Design) -> Program:
    return program.without("dispatch")


@mutation("wrong-queue-moved", "F03", "CPUs look into a second queue, which nobody fills", only=_shared)
def _(program: Program, design: Design) -> Program:
    both = "sx_create_dsq(QUEUE) ?: sx_create_dsq(QUEUE + 1)"
    return program.change("init", "create", create=both).change("dispatch", "move", queue="QUEUE + 1")


@mutation("light-into-other-queue", "F03", "light tasks wait in a queue that nobody empties", only=is_unordered)
def _(program: Program, design: Design) -> Program:
    if not _shared(design) or design.queues == "pids":
        return program.drop("dispatch", "no line of several")
    both = "sx_create_dsq(QUEUE) ?: sx_create_dsq(QUEUE + 1)"
    made = program.change("init", "create", create=both)
    return made.change("enqueue", "insert", queue="(p->scx.weight < 100 ? QUEUE + 1 : QUEUE)")


@mutation("always-from-first", "F03", "while the first queues have tasks, the others' never run", only=_several)
def _(program: Program, design: Design) -> Program:
    return program.change("dispatch", "move", queue="i")


@mutation("far-never", "F03", "no CPU takes from the far group's queue", only=lambda design: design.queues == "group")
def _(program: Program, design: Design) -> Program:
    return program.change("dispatch", "move", queue="NEAR").change("dispatch", "second", queue="NEAR")


@mutation("needs-two", "F03", "who waits alone waits for ever", only=_one_queue)
def _(program: Program, design: Design) -> Program:
    return _at_start(program, "sx_dsq_nr_queued(QUEUE) < 2")


@mutation("moves-from-global", "F04", "the kernel says no to the first look", only=_shared)
def _(program: Program, design: Design) -> Program:
    return program.change("dispatch", "move", queue="SX_DSQ_GLOBAL")


@mutation("creates-builtin", "F04", "the kernel says no in init", only=_shared)
def _(program: Program, design: Design) -> Program:
    return program.change("init", "create", create="sx_create_dsq(QUEUE) ?: sx_create_dsq(SX_DSQ_LOCAL)")


@mutation("first-cpu-only", "F13", "who is bound to another CPU than the first never runs", only=_shared)
def _(program: Program, design: Design) -> Program:
    return _at_start(program, "cpu != 0")


@mutation("not-first-cpu", "F13", "who is bound to the first CPU never runs", only=_shared)
def _(program: Program, design: Design) -> Program:
    return _at_start(program, "cpu == 0")


@mutation("own-hash-only", "F13", "a bound task waits where its CPU never looks",
          only=lambda design: design.queues == "hash")  # fmt: skip
def _(program: Program, design: Design) -> Program:
    return program.change("dispatch", "all", to="1").change("dispatch", "move", queue=f"(u32)cpu % {design.number}")


@mutation("no-steal", "F21", "a CPU idles beside the tasks of another's queue",
          only=lambda design: design.queues == "percpu")  # fmt: skip
def _(program: Program, design: Design) -> Program:
    return program.drop("dispatch", "steal").drop("dispatch", "other")


@mutation("steal-one-short", "F21", "nobody takes from the last CPU's queue, whoever idles",
          only=lambda design: design.queues == "percpu")  # fmt: skip
def _(program: Program, design: Design) -> Program:
    steal = "sx_steal_any(cpu, queues - 1)"
    return program.change("dispatch", "steal", steal=steal).change("dispatch", "other", steal=steal)


@mutation("steal-rarely", "F21", "a CPU that idles takes from others at every eighth look only",
          unseen=lambda _: "each end of a slice elsewhere makes it look again, so it soon has one")  # fmt: skip
def _(program: Program, design: Design) -> Program:
    return program.drop("dispatch", "steal")


@mutation("look-one-short", "F21", "a CPU sleeps though the queue it left out has a task", only=_several,
          unseen=_looks_again)  # fmt: skip
def _(program: Program, design: Design) -> Program:
    return program.change("dispatch", "all", to="QUEUES - 1")


@mutation("every-other-look", "F21", "a CPU sleeps though the queue has a task", only=_shared, unseen=_looks_again)
def _(program: Program, design: Design) -> Program:
    return _at_start(program.declaring("static u64 looks;"), "__sync_fetch_and_add(&looks, 1) % 2")


@mutation("takes-all", "F21", "one CPU takes what others that idle could run",
          only=lambda design: design.dispatch == "batch" and design.select in ("prev", "kick"))  # fmt: skip
def _(program: Program, design: Design) -> Program:
    stop = line("enough", "if (!sx_move_to_local(QUEUE))", line("stop", "break;"))
    return program.put("dispatch", "enough", stop).change("dispatch", "more", to="16")


@mutation("destroy-when-empty", "F34", "the next insert ends the policy", only=_one_queue)
def _(program: Program, design: Design) -> Program:
    destroy = line("destroy", "if (!sx_dsq_nr_queued(QUEUE))", line("gone", "sx_destroy_dsq(QUEUE);"))
    return program.first("dispatch", destroy)


@mutation("destroy-offline", "F34", "a CPU that went and came back has no queue",
          only=lambda design: design.queues == "percpu" and design.hotplug == "yes")  # fmt: skip
def _(program: Program, design: Design) -> Program:
    return program.after("cpu_offline", "count", line("destroy", "sx_destroy_dsq((u64)cpu);"))


@mutation("long-loop", "F36", "each dispatch takes milliseconds with the run queue locked")
def _(program: Program, design: Design) -> Program:
    spin = line("spin", "bpf_for(spin, 0, 1 << 22)", line("count", "__sync_fetch_and_add(&spins, 1);"))
    return program.declaring("static u64 spins;").first("dispatch", line("spin", "s32 spin;"), spin)


@mutation("loop-until-empty", "F36", "a CPU spins with its run queue locked while others' tasks wait", only=_one_queue)
def _(program: Program, design: Design) -> Program:
    empty = line("empty", "if (!sx_dsq_nr_queued(QUEUE) || sx_move_to_local(QUEUE))", line("stop", "break;"))
    spin = line("spin", "bpf_for(spin, 0, 1 << 23)", empty)
    return program.first("dispatch", line("spin", "s32 spin;"), spin)


@mutation("keeps-prev", "F19", "a hog never gives its CPU away")
def _(program: Program, design: Design) -> Program:
    again = line("again", "sx_set_slice(prev, $slice);", slice=slice_of(design, "prev"))
    return program.first("dispatch", line("keep", "if (sx_wants_cpu(prev))", again, RETURN))


@mutation("not-while-prev", "F19", "a hog never gives its CPU away")
def _(program: Program, design: Design) -> Program:
    return _at_start(program, "prev")


@mutation("goes-on-inverted", "F19", "who is behind the queue's first runs on for ever")
def _(program: Program, design: Design) -> Program:
    return program.change("goes_on", "before", prev="first->scx.dsq_vtime", first="prev->scx.dsq_vtime")


@mutation("goes-on-always", "F19", "a hog never gives its CPU away", only=lambda design: design.queues == "vtime")
def _(program: Program, design: Design) -> Program:
    return program.change("dispatch", "keep", wants="sx_wants_cpu(prev)")


@mutation("empty-is-error", "F29", "the first look that finds nothing ends the policy")
def _(program: Program, design: Design) -> Program:
    return _at_end(program, line("error", 'sx_error("nothing to run");'))


@mutation("gone-is-error", "F29", "a task that is killed while it waits ends the policy")
def _(program: Program, design: Design) -> Program:
    gone = line("gone", "if (!p)", line("error", 'sx_error("no such task");'), line("next", "continue;"))
    return program.put("dispatch", "gone", gone)


def _at_end(program: Program, *lines: Line) -> Program:
    callbacks = {**program.callbacks, "dispatch": (*program.callbacks["dispatch"], *lines)}
    return replace(program, callbacks=callbacks)

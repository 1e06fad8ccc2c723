# SPDX-License-Identifier: Apache-2.0
"""Faults of CPUs: which is proposed, claimed, kicked, comes and goes; and what a record of tasks has room for."""

from __future__ import annotations

from dataclasses import replace

from policy_fuzz.compose import KICKS_ALL, without_flag
from policy_fuzz.designs import Design
from policy_fuzz.faults_inserts import is_unordered
from policy_fuzz.mutation import mutation
from policy_fuzz.program import Program, line
from policy_fuzz.records import ENTRIES

SELECT_FINDS = "select_cpu gives who wakes to an idle CPU, and a CPU sleeps only when it finds nobody"


def _stays(design: Design) -> bool:
    return design.select == "prev"


def _finds(design: Design) -> str:
    return "" if _stays(design) else SELECT_FINDS


def _wake(program: Program, *lines: str) -> Program:
    """Another way of waking a CPU in place of the policy's own."""
    made = tuple(line("awake", text) for text in lines)
    return program.edit("enqueue", "wake", lambda one: (replace(one, body=made),))


UNGUARDED = "scx_bpf_kick_cpu___sx"  # sx_kick_cpu asks first whether the executing CPU may kick
PICK = "s32 idle_cpu = sx_pick_idle_cpu(p->cpus_ptr, 0);"


@mutation("local-on-first", "F10", "a task that is bound elsewhere ends the policy",
          only=lambda design: is_unordered(design) and design.queues != "pids")  # fmt: skip
def _(program: Program, design: Design) -> Program:
    return program.change("enqueue", "insert", queue="SX_DSQ_LOCAL_ON | 0")


@mutation("local-on-next", "F10", "a task that is bound to its CPU ends the policy",
          only=lambda design: is_unordered(design) and design.queues != "pids")  # fmt: skip
def _(program: Program, design: Design) -> Program:
    queue = "SX_DSQ_LOCAL_ON | (((u32)sx_task_cpu(p) + 1) % (cpus ?: 1))"
    return program.change("enqueue", "insert", queue=queue)


@mutation("kick-nobody", "F11", "where no CPU is idle, -16 is kicked, and ends the policy")
def _(program: Program, design: Design) -> Program:
    return _wake(program, "sx_kick_cpu(sx_pick_idle_cpu(p->cpus_ptr, 0), SX_KICK_IDLE);")


@mutation("kick-beyond", "F11", "the CPU behind the last is kicked, which is none, and ends the policy")
def _(program: Program, design: Design) -> Program:
    return _wake(program, PICK, "if (idle_cpu >= 0) sx_kick_cpu(idle_cpu + 1, SX_KICK_IDLE);")


@mutation("nobody-selected", "F11", "where no CPU is idle, a negative number is proposed, and ends the policy")
def _(program: Program, design: Design) -> Program:
    return program.drop("select_cpu", "none")


@mutation("minus-one-selected", "F11", "-1 is proposed where no CPU is idle, and ends the policy")
def _(program: Program, design: Design) -> Program:
    return program.change("select_cpu", "stay", cpu="-1")


@mutation("minus-one-always", "F11", "-1 is proposed, and ends the policy", only=_stays)
def _(program: Program, design: Design) -> Program:
    return program.change("select_cpu", "return", cpu="-1")


@mutation("next-cpu-selected", "F12", "a bound task is proposed for another CPU", only=_stays,
          unseen=lambda _: "the kernel ignores a proposal that the task's mask forbids")  # fmt: skip
def _(program: Program, design: Design) -> Program:
    return program.change("select_cpu", "return", cpu="((u32)prev_cpu + 1) % (cpus ?: 1)")


@mutation("cpu-beyond-selected", "F12", "the CPU behind the last is proposed, which is none, and ends the policy")
def _(program: Program, design: Design) -> Program:
    return program.change("select_cpu", "return", cpu="prev_cpu + 1")


@mutation("no-wake", "F21", "a CPU idles beside a task that waits", unseen=_finds)
def _(program: Program, design: Design) -> Program:
    return program.drop("enqueue", "wake")


@mutation("kick-own", "F21", "the task's own CPU, which is busy, is kicked, and an idle one is not", unseen=_finds)
def _(program: Program, design: Design) -> Program:
    return _wake(program, "sx_kick_cpu(sx_task_cpu(p), SX_KICK_IDLE);")


@mutation("kick-first", "F21", "the first CPU is kicked, whoever idles", unseen=_finds)
def _(program: Program, design: Design) -> Program:
    return _wake(program, "sx_kick_cpu(0, SX_KICK_IDLE);")


@mutation("claim-lost", "F23", "an idle CPU is claimed, and nobody finds it any more", unseen=_finds)
def _(program: Program, design: Design) -> Program:
    return _wake(program, "sx_pick_idle_cpu(p->cpus_ptr, 0);")


@mutation("claimed-not-proposed", "F23", "the idle CPU that was claimed is not proposed, and nobody finds it any more",
          only=lambda design: design.select in ("pick", "core"))  # fmt: skip
def _(program: Program, design: Design) -> Program:
    return program.change("select_cpu", "return", cpu="prev_cpu")


@mutation("idle-tracking-off", "F22", "the kernel says no to the first claim")
def _(program: Program, design: Design) -> Program:
    if design.recheck != "yes":
        return program.drop("update_idle", "recheck")
    return without_flag(program, "SCX_OPS_KEEP_BUILTIN_IDLE")


@mutation("kick-idle-and-preempt", "F33", "the kernel says no to the flags")
def _(program: Program, design: Design) -> Program:
    return _wake(program, PICK, "if (idle_cpu >= 0) sx_kick_cpu(idle_cpu, SX_KICK_IDLE | SX_KICK_PREEMPT);")


@mutation("kick-idle-and-wait", "F33", "the kernel says no to the flags")
def _(program: Program, design: Design) -> Program:
    return _wake(program, PICK, "if (idle_cpu >= 0) sx_kick_cpu(idle_cpu, SX_KICK_IDLE | SCX_KICK_WAIT);")


@mutation("by-node", "F42", "the kernel says no to the first claim")
def _(program: Program, design: Design) -> Program:
    return replace(program, flags=(*program.flags, "SCX_OPS_BUILTIN_IDLE_PER_NODE"))


@mutation("executing-cpu", "F39", "a task waits in the queue of the CPU that woke it",
          only=lambda design: design.queues == "percpu",
          unseen=lambda _: "every eighth turn takes from others' queues, so it is late and no more")  # fmt: skip
def _(program: Program, design: Design) -> Program:
    return program.change("enqueue", "insert", queue="(u64)bpf_get_smp_processor_id()")


@mutation("busy-is-error", "F29", "the first time that no CPU is idle ends the policy")
def _(program: Program, design: Design) -> Program:
    return _wake(program, PICK, 'if (idle_cpu < 0) sx_error("no idle CPU");',
                 "else sx_kick_cpu(idle_cpu, SX_KICK_IDLE);")  # fmt: skip


@mutation("no-hotplug", "F30", "a CPU that goes ends the policy", need="hotplug")
def _(program: Program, design: Design) -> Program:
    return program.without("cpu_online", "cpu_offline")


@mutation("offline-is-error", "F30", "a CPU that goes ends the policy")
def _(program: Program, design: Design) -> Program:
    return program.after("cpu_offline", "count", line("error", 'sx_error("a CPU goes");'))


@mutation("online-is-error", "F30", "a CPU that comes ends the policy")
def _(program: Program, design: Design) -> Program:
    return program.after("cpu_online", "count", line("error", 'sx_error("a CPU comes");'))


@mutation("kicks-on-leaving-cpu", "F30", "a kick by a CPU that goes off line is pending for ever",
          only=lambda design: design.select in KICKS_ALL)  # fmt: skip
def _(program: Program, design: Design) -> Program:
    return _wake(program, PICK, f"if (idle_cpu >= 0) {UNGUARDED}(idle_cpu, SX_KICK_IDLE);")


@mutation("kicks-leaving-cpu", "F30", "a kick of a CPU that goes off line is pending for ever")
def _(program: Program, design: Design) -> Program:
    unguarded = f"if (idle && ($waits)) {UNGUARDED}(cpu, 0);"
    return program.edit("update_idle", "recheck", lambda one: (replace(one, text=unguarded),))


@mutation("no-exit", "F35", "how it ended is not known", need="exit-record")
def _(program: Program, design: Design) -> Program:
    return program.without("exit")


@mutation("empty-exit", "F35", "how it ended is not known", need="exit-record")
def _(program: Program, design: Design) -> Program:
    return program.drop("exit", "record")


@mutation("small-table", "F27", "with more tasks than the table holds, nobody can fork",
          only=lambda design: design.storage == "hash")  # fmt: skip
def _(program: Program, design: Design) -> Program:
    return _resized(_failing(program), "256")


@mutation("never-deleted", "F27", "after so many forks as the table has places, nobody can fork",
          only=lambda design: design.storage == "hash")  # fmt: skip
def _(program: Program, design: Design) -> Program:
    return _resized(_failing(program), "4096").without("exit_task")


def _failing(program: Program) -> Program:
    update = "if (bpf_map_update_elem(&tasks, &pid, &zero, BPF_ANY))"
    return program.put("init_task", "create", line("create", update, line("no_room", "return -ENOMEM;")))


def _resized(program: Program, entries: str) -> Program:
    wide, narrow = f"max_entries, {ENTRIES}", f"max_entries, {entries}"
    return replace(program, declarations=tuple(one.replace(wide, narrow) for one in program.declarations))


@mutation("no-room-for-groups", "F28", "from the fifth cgroup on, mkdir fails",
          only=lambda design: design.groups == "weights")  # fmt: skip
def _(program: Program, design: Design) -> Program:
    full = line("full", "if (__sync_fetch_and_add(&groups_made, 1) >= 4)", line("no_room", "return -ENOMEM;"))
    return program.declaring("static u64 groups_made;").before("cgroup_init", "weight", full)

# SPDX-License-Identifier: Apache-2.0
"""Of each static check, whether it is a proof or a heuristic, and why: for docs/bugs.md, held against the code."""
# ruff: noqa: E501

from __future__ import annotations

_KERNEL = "the kernel says no to it whenever it is executed"
# (bug, what is looked for, the level that the stage gives at most, why)
CERTAINTY = (
    ("F01", "a path of enqueue that neither inserts nor keeps, no look-up missed on it", "proof", "who takes it never runs again"),
    ("F01", "the same behind a look-up that found nothing", "open", "what is in a map is not known; storage that init_task makes or fails is"),
    ("F02", "an insert into a known id that nobody creates", "proof", _KERNEL),
    ("F02", "ids computed at run time", "open", "their values are not known"),
    ("F02", "the result of create_dsq ignored", "suspicion", "it fails only where memory is short"),
    ("F03", "a known queue that nobody takes from", "proof", "who waits there never runs again"),
    ("F03", "dispatch finds nothing and has not looked into a queue", "suspicion", "some other CPU, or a later call, may"),
    ("F03", "dispatch hangs on a count that only falls or only rises", "suspicion", "it comes there in time, and whether somebody is then stuck the guest sees"),
    ("F03", "dispatch hangs on a flag in memory that it clears itself", "suspicion", "others may set it in time; what one CPU cannot run looks to it like nothing"),
    ("F03, F18", "a time of 32 bits or fewer compared in dispatch with one that was kept, or given as a vtime; a vtime summed up in so few", "suspicion", "it begins anew: a guest is up until then, or it is told as not tried"),
    ("F04, F05, F06", "built-in ids made, moved from or ordered; two orders in one queue", "proof", _KERNEL),
    ("F07", "two inserts on one path", "proof", _KERNEL),
    ("F08", "another task inserted in select_cpu or enqueue", "proof", _KERNEL),
    ("F09", "inserts in a loop that never asks for free slots, and is not known to end within the buffer", "open", "how often it goes round is not known"),
    ("F10", "a CPU by number in enqueue, and no look at the task's mask", "proof", "any bound task ends the policy"),
    ("F10", "the same by mask alone, with SCX_OPS_ENQ_MIGRATION_DISABLED", "proof", "the mask of such a task is as wide as ever when it is enqueued"),
    ("F11", "a pick that can fail, used as a CPU without a look", "proof", _KERNEL),
    ("F12", "select_cpu gives a number of its own making", "suspicion", "the kernel ignores a wrong one"),
    ("F14, F15, F16, F17, F18", "how virtual time is charged, clamped, started", "suspicion", "unfair by how much is the guest's to see"),
    ("F18", "every insert into a shared queue goes to its head", "suspicion", "with few tasks the first has its turn, too"),
    ("F18", "an insert into a shared queue that may go to its head", "suspicion", "who has it, and how often, the guest sees"),
    ("F19", "a slice as long as the watchdog's limit, and nothing that ends a turn", "proof", "the second hog on a CPU waits that long"),
    ("F19", "tick, running, stopping or a timer gives a slice that may be longer than what is left", "suspicion", "where nobody waits, or not each time, turns end; hogs show it"),
    ("F20", "slices of 0, or that divide to 0", "note", "such a task runs to the next tick: more switches, and no failure"),
    ("F21", "no CPU is ever kicked", "open", "select_cpu may wake enough of them"),
    ("F22, F33, F42", "flags and calls that exclude each other", "proof", _KERNEL),
    ("F24", "SCX_OPS_ENQ_LAST and no test of SCX_ENQ_LAST", "suspicion", "the CPU may find the task again"),
    ("F24", "SCX_OPS_ENQ_LAST without an enqueue", "proof", _KERNEL),
    ("F25", "SCX_OPS_ENQ_EXITING with look-ups by pid", "suspicion", "the task may be dispatched before its pid goes"),
    ("F26", "a push whose failure nobody sees, the only place of the task", "proof", "with one task more than it holds, one is lost"),
    ("F27", "a hash that tasks are added to and never taken out of", "open", "how many tasks come is the host's to say; fork may not fail when it is full"),
    ("F28", "cgroup_init looks through more places than any guest has cgroups", "open", "whether those beyond are served is not known"),
    ("F29", "scx_bpf_error in a callback that runs all the time", "suspicion", "it may be for what can never happen"),
    ("F30", "dispatch hangs on what cpu_offline sets and cpu_online does not set back", "suspicion", "whether anybody has to wait for that CPU the guest sees"),
    ("F30, F35, F41", "callbacks that are missing", "note", "policy, not truth: --require turns it into a rejection"),
    ("F32", "SCX_ENQ_IMMED on a queue that is no CPU's", "proof", _KERNEL),
    ("F34", "a queue destroyed that is made in init alone and filled elsewhere", "proof", "the next insert ends the policy"),
    ("F36", "bpf_loop of 2^20 rounds or more that never stops early", "proof", "its CPU stands still for milliseconds"),
    ("F36", "any other long loop", "open", "what one round costs, and when it is left, is not known"),
    ("F38", "a field read after the insert that was to set it", "suspicion", "it is the old value; what hangs on it is not known"),
    ("F39", "the executing CPU taken for the task's", "suspicion", "they differ only where another CPU stops the task"),
    ("F40", "a yield callback that does nothing", "suspicion", "the guest shows whether anybody else comes to run"),
    ("context, kfunc, flags, timeout, name", "what the kernel refuses to load", "proof", _KERNEL),
    ("include, asm", "files and assembler taken in by the source", "rejected", "it would harm the host that compiles, whatever the policy does"),
)  # fmt: skip

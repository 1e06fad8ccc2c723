# SPDX-License-Identifier: Apache-2.0
"""A policy as data: callbacks of lines that have a role and holes, edits of it, and the C that it comes to."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from string import Template

SLEEPABLE = ("init_task", "cpu_online", "cpu_offline", "cgroup_init", "init", "exit")
# The order of a task's life, as in bpf/library.
HEADS = {
    "init_task": "s32 p:struct task_struct *p, struct scx_init_task_args *args",
    "exit_task": "void p:struct task_struct *p, struct scx_exit_task_args *args",
    "enable": "void p:struct task_struct *p",
    "select_cpu": "s32 p:struct task_struct *p, s32 prev_cpu, u64 wake_flags",
    "enqueue": "void p:struct task_struct *p, u64 enq_flags",
    "dispatch": "void p:s32 cpu, struct task_struct *prev",
    "running": "void p:struct task_struct *p",
    "stopping": "void p:struct task_struct *p, bool runnable",
    "yield": "bool p:struct task_struct *from, struct task_struct *to",
    "set_weight": "void p:struct task_struct *p, u32 weight",
    "update_idle": "void p:s32 cpu, bool idle",
    "cgroup_init": "s32 p:struct cgroup *cgrp, struct scx_cgroup_init_args *args",
    "cgroup_move": "void p:struct task_struct *p, struct cgroup *from, struct cgroup *to",
    "cgroup_set_weight": "void p:struct cgroup *cgrp, u32 weight",
    "cpu_online": "void p:s32 cpu",
    "cpu_offline": "void p:s32 cpu",
    "init": "s32 p:",
    "exit": "void p:struct scx_exit_info *ei",
}


class NoSuchLineError(LookupError):
    """An edit is of a line that the policy has not."""


@dataclass(frozen=True, slots=True)
class Line:
    """A statement, what it is for, and the values of its `$holes`; with `body` the head of a block, if it has text."""

    role: str
    text: str
    args: Mapping[str, str] = field(default_factory=dict)
    body: tuple[Line, ...] = ()

    def render(self, indent: int) -> str:
        if not self.text:  # lines that belong together
            return "\n".join(line.render(indent) for line in self.body)
        own = "\t" * indent + Template(self.text).substitute(self.args)
        if not self.body:
            return own
        inner = "\n".join(line.render(indent + 1) for line in self.body)
        return f"{own} {{\n{inner}\n" + "\t" * indent + "}"


def line(role: str, text: str, *body: Line, **args: str) -> Line:
    """A line; the holes' values by keyword."""
    return Line(role, text, args, body)


Lines = tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """A whole policy. `helpers` are functions by their C heads, `callbacks` by the names of `struct sched_ext_ops`."""

    includes: tuple[str, ...]
    queues: Mapping[str, str]
    helpers: Mapping[str, Lines]
    callbacks: Mapping[str, Lines]
    declarations: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    timeout_ms: int = 5000

    def edit(self, where: str, role: str, change: Callable[[Line], Lines]) -> Program:
        """The lines of a role in a callback or helper (by the start of its name) become what `change` makes of them."""
        part, key = self._find(where)
        table = getattr(self, part)
        edited, count = _edited(table[key], role, change)
        if not count:
            raise NoSuchLineError(f"{where}: no line is for {role}")
        return replace(self, **{part: {**table, key: edited}})

    def change(self, where: str, role: str, **args: str) -> Program:
        """Other values in the holes of the lines of a role."""

        def other(one: Line) -> Lines:
            if missing := [name for name in args if name not in one.args]:
                raise NoSuchLineError(f"{where}: {role} has no {missing[0]}")
            return (replace(one, args={**one.args, **args}),)

        return self.edit(where, role, other)

    def drop(self, where: str, role: str) -> Program:
        """Without the lines of a role."""
        return self.edit(where, role, lambda _: ())

    def put(self, where: str, role: str, *lines: Line) -> Program:
        """Other lines in place of those of a role."""
        return self.edit(where, role, lambda _: lines)

    def before(self, where: str, role: str, *lines: Line) -> Program:
        """More lines before those of a role."""
        return self.edit(where, role, lambda one: (*lines, one))

    def after(self, where: str, role: str, *lines: Line) -> Program:
        """More lines after those of a role."""
        return self.edit(where, role, lambda one: (one, *lines))

    def first(self, where: str, *lines: Line) -> Program:
        """More lines at the start of a callback or helper."""
        part, key = self._find(where)
        table = getattr(self, part)
        return replace(self, **{part: {**table, key: (*lines, *table[key])}})

    def has(self, where: str, role: str) -> bool:
        """Whether a callback or helper has a line of that role."""
        try:
            self.edit(where, role, lambda one: (one,))
        except NoSuchLineError:
            return False
        return True

    def without(self, *callbacks: str) -> Program:
        """Without some callbacks; NoSuchLineError if it has not all of them."""
        if missing := [name for name in callbacks if name not in self.callbacks]:
            raise NoSuchLineError(f"{missing[0]}: no such callback")
        kept = {name: lines for name, lines in self.callbacks.items() if name not in callbacks}
        return replace(self, callbacks=kept)

    def declaring(self, *declarations: str) -> Program:
        """With more declarations."""
        return replace(self, declarations=(*self.declarations, *declarations))

    def _find(self, where: str) -> tuple[str, str]:
        if where in self.callbacks:
            return "callbacks", where
        name = re.compile(rf"\b{re.escape(where)}\(")
        for head in self.helpers:
            if name.search(head):
                return "helpers", head
        raise NoSuchLineError(f"{where}: no such function")

    def source(self, title: str) -> str:
        """The .bpf.c; `title` is its first comment."""
        enum = "\n".join(f"\t{name} = {number}," for name, number in self.queues.items())
        includes = "\n".join(f'#include "primitives/{name}.bpf.h"' for name in self.includes)
        # REUSE-IgnoreStart
        licence = "// SPDX-License-Identifier: GPL-2.0-only"
        # REUSE-IgnoreEnd
        parts = [
            f'{licence}\n/* {title} */\n#include "sx/sx.h"\n{includes}'.rstrip(),
            f"enum fuzz_dsq {{\n{enum}\n}};",
            *self.declarations,
            "SX_EXIT_RECORD();",
            *(f"{head}\n{_block(lines)}" for head, lines in self.helpers.items()),
            *(self._callback(name) for name in HEADS if name in self.callbacks),
            self._table(),
        ]
        return "\n\n".join(parts) + "\n"

    def _callback(self, name: str) -> str:
        kind, arguments = HEADS[name].split(" p:", 1)
        macro = "SX_OP_SLEEPABLE" if name in SLEEPABLE else "SX_OP"
        more = f", {arguments}" if arguments else ""
        return f"{kind} {macro}(fuzz_{name}{more})\n{_block(self.callbacks[name])}"

    def _table(self) -> str:
        members = [f".{name} = (void *)fuzz_{name}" for name in HEADS if name in self.callbacks]
        members += [f".flags = {' | '.join(self.flags)}"] if self.flags else []
        return "SX_OPS(fuzz,\n       " + ",\n       ".join([*members, f".timeout_ms = {self.timeout_ms}"]) + ");"


def _block(lines: Lines) -> str:
    return "{\n" + "\n".join(one.render(1) for one in lines) + "\n}"


def _edited(lines: Lines, role: str, change: Callable[[Line], Lines]) -> tuple[Lines, int]:
    made: list[Line] = []
    count = 0
    for one in lines:
        if one.role == role:
            made += change(one)
            count += 1
            continue
        body, inner = _edited(one.body, role, change)
        if body or not inner:  # a block of which nothing is left goes, too
            made.append(replace(one, body=body) if inner else one)
        count += inner
    return tuple(made), count

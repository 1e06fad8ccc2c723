# SPDX-License-Identifier: Apache-2.0
"""C expressions that several callbacks of a composed policy share."""

from __future__ import annotations

from bpf.composition import Composition


def queue_enum(c: Composition) -> str:
    """The enumerator of its queue, or of the first of them."""
    return f"{c.name.upper()}_QUEUE"


def queue(c: Composition, cpu: str) -> str:
    """The queue that a CPU looks into first."""
    first = queue_enum(c)
    return {"one": first, "cpu": f"{first} + {cpu}", "llc": f"queue_of({cpu})"}[c.queues]


def number(c: Composition, cpu: str) -> str:
    """That queue where primitives count queues from 0, as the enumerator does."""
    return cpu if c.queues == "cpu" else queue(c, cpu)


def own_slice(c: Composition, task: str) -> str:
    """How long a task may run when its turn comes."""
    return "slice_ns" if c.slice == "bounded" else f"slice_of({task})"


def put_off_args(c: Composition) -> tuple[tuple[str, str], ...]:
    """What the function put_off_ns takes: C type and name."""
    of_task = c.order in ("deadline", "shortest", "longest") or c.classes != "none"
    of_record = c.remembers and (c.order in ("vtime", "shortest", "longest", "interactive") or c.classes == "burst")
    return (
        *((("const struct task_struct *", "p"),) if of_task else ()),
        *((("const struct task_ctx *", "tc"),) if of_record else ()),
        *((("bool ", "woken"),) if c.order == "woken" else ()),
    )


def has_put_off(c: Composition) -> bool:
    """Whether put_off_ns is a function: rr's rule alone is one expression in one place."""
    return c.due and not (c.order == "woken" and c.classes == "none")


def asks_record(c: Composition) -> bool:
    """Whether put_off_ns needs the task's record."""
    return has_put_off(c) and any(name == "tc" for _, name in put_off_args(c))


def put_off(c: Composition, *, task: str, woken: str) -> str:
    """The call of put_off_ns for a task."""
    values = {"p": task, "tc": "tc", "woken": woken}
    return f"put_off_ns({', '.join(values[name] for _, name in put_off_args(c))})"

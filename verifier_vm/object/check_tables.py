# SPDX-License-Identifier: Apache-2.0
"""The check of tables by task: one that tasks are put into, and never taken out of, is full one day (F27)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from policy_lake.model import Finding
from verifier_vm.object.facts import Facts, is_of_the_task
from verifier_vm.object.kernel import HASH, PERCPU_HASH
from verifier_vm.object.program import Map
from verifier_vm.object.record import KEY, Call
from verifier_vm.object.values import Expr
from verifier_vm.situations import Situation

DELETING = ("map_delete_elem", "for_each_map_elem", "map_lookup_and_delete_elem")
SMALL, LARGE = 4140, 16_440  # entries: what the short tier has time to fill, and the full one
ADVICE = (
    "Take a task's entry out when it goes (bpf_map_delete_elem in exit_task), or keep it in BPF_MAP_TYPE_TASK_STORAGE,"
    " which the kernel frees with the task."
)


@dataclass(frozen=True, slots=True)
class Leak:
    """A table, and the update that adds a task's entry to it."""

    table: Map
    call: Call


def check_tables(facts: Facts) -> Iterator[Finding]:
    """One finding for each table that only grows."""
    for leak in leaks(facts):
        count = leak.table.max_entries
        reason = (
            f"entries are added to '{leak.table.name}' for each task and never deleted: once {count} have come,"
            " and maybe gone, there is no room"
        )
        yield replace(facts.finding("F27", "unknown", reason, leak.call, ADVICE), situations=(shown_by(count),))


def shown_by(entries: int) -> Situation:
    """What shows that a table of that size is full of tasks that are gone."""
    if entries <= SMALL:
        return Situation.TURNOVER
    return Situation.LARGE_TURNOVER if entries <= LARGE else Situation.HUGE_TURNOVER


def leaks(facts: Facts) -> Iterator[Leak]:
    """Hashes that are filled by task, each with its first update, where no program ever takes anything out of them."""
    deletes = facts.record.by_name(*DELETING)
    if any(not isinstance(call.args[0], Expr) or call.args[0].op != "map" for call in deletes):
        return
    emptied = {str(call.args[0].key) for call in deletes if isinstance(call.args[0], Expr)}
    found = set[str]()
    for call in facts.record.by_name("map_update_elem"):
        name = str(call.args[0].key) if isinstance(call.args[0], Expr) else ""
        table, key = facts.program.maps.get(name), call.field(KEY)
        if table is None or name in emptied | found or table.kind not in (HASH, PERCPU_HASH) or key is None:
            continue
        if is_of_the_task(key) and table.max_entries:
            found.add(name)
            yield Leak(table, call)

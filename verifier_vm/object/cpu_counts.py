# SPDX-License-Identifier: Apache-2.0
"""For how many CPUs an object provides: what its constants say. A machine with one more shows what it does then."""

from __future__ import annotations

from collections.abc import Iterator

from verifier_vm.object.facts import Facts, comes_from, local_on
from verifier_vm.object.kernel import ARRAY, CPU_GIVERS

LOOPS = {"bpf_iter_num_new": 2, "loop": 0}  # which argument says where it ends


def provided(facts: Facts) -> dict[int, str]:
    """Numbers of CPUs that the policy may have been written for, and what says so; one of them does not prove it.

    The places of its arrays, the numbers that CPUs' numbers are compared with, and where a CPU's number is a queue's,
    the number of queues that it makes.
    """
    found: dict[int, str] = {}
    for number, why in (*_queues(facts), *_limits(facts), *_arrays(facts)):
        found.setdefault(number, why)
    return found


def _limits(facts: Facts) -> Iterator[tuple[int, str]]:
    for number in sorted(facts.record.cpu_limits):
        yield (
            number,
            f"the {number} that a CPU's number is compared with at {facts.place(*facts.record.cpu_limits[number])}",
        )


def _arrays(facts: Facts) -> Iterator[tuple[int, str]]:
    """Some arrays are by CPU, and which cannot be told."""
    for name, table in sorted(facts.program.maps.items()):
        if table.kind == ARRAY and table.max_entries > 1:
            yield table.max_entries, f"the {table.max_entries} places of the array '{name}'"


def _queues(facts: Facts) -> Iterator[tuple[int, str]]:
    if not any(not local_on(insert.dsq) and comes_from(insert.dsq, *CPU_GIVERS) for insert in facts.inserts):
        return
    known = {dsq: call for dsq, call in facts.created if isinstance(dsq, int)}
    if known:
        last = list(known.values())[-1]
        yield len(known), f"the {len(known)} queues that are made at {facts.place(last.entry, last.line, last.pc)}"
    for call in facts.record.by_name(*LOOPS):
        end = call.args[LOOPS[call.name]]
        if call.entry == "init" and isinstance(end, int):
            yield end, f"the {end} rounds of the loop at {facts.place(call.entry, call.line, call.pc)}"

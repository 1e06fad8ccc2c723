# SPDX-License-Identifier: Apache-2.0
"""For how many CPUs an object provides: what its constants say. A machine with one more shows what it does then."""

from __future__ import annotations

from collections.abc import Iterator

from verifier_vm.object.facts import Facts, comes_from, local_on
from verifier_vm.object.kernel import ARRAY, CPU_GIVERS

LOOPS = {"bpf_iter_num_new": 2, "loop": 0}  # which argument says where it ends


def provided(facts: Facts) -> frozenset[int]:
    """Numbers of CPUs that the policy may have been written for; one of them does not prove it.

    The places of its arrays, the numbers that CPUs' numbers are compared with, and where a CPU's number is a queue's,
    the number of queues that it makes.
    """
    return frozenset((*_arrays(facts), *facts.record.cpu_limits, *_queues(facts)))


def _arrays(facts: Facts) -> Iterator[int]:
    """Some arrays are by CPU, and which cannot be told."""
    yield from (
        table.max_entries for table in facts.program.maps.values() if table.kind == ARRAY and table.max_entries > 1
    )


def _queues(facts: Facts) -> Iterator[int]:
    if not any(not local_on(insert.dsq) and comes_from(insert.dsq, *CPU_GIVERS) for insert in facts.inserts):
        return
    yield len({dsq for dsq, _ in facts.created if isinstance(dsq, int)})
    for call in facts.record.by_name(*LOOPS):
        end = call.args[LOOPS[call.name]]
        if call.entry == "init" and isinstance(end, int):
            yield end

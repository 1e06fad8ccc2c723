# SPDX-License-Identifier: Apache-2.0
"""For how many cgroups a policy with callbacks for them has places: one more may be served by nobody."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from policy_lake.model import Finding
from verifier_vm.object.btf import DATASEC
from verifier_vm.object.cpu_counts import LOOPS
from verifier_vm.object.facts import Facts
from verifier_vm.object.kernel import ARRAY, HASH
from verifier_vm.object.values import Expr
from verifier_vm.situations import Situation

MOST = 138  # at once, that a guest has time and memory for
LOOK_UPS = ("map_lookup_elem", "map_update_elem")


def places(facts: Facts) -> frozenset[int]:
    """Sizes of what may hold something for each cgroup: none of one without cgroup_init."""
    if not facts.has("cgroup_init"):
        return frozenset()
    return frozenset(count for count in (*_arrays(facts), *_maps(facts, ARRAY, HASH), *_loops(facts)) if count > 1)


def check_cgroups(facts: Facts) -> Iterator[Finding]:
    """One finding where cgroup_init looks through more places than there will be cgroups in any guest."""
    if not facts.has("cgroup_init"):
        return
    most = max((*_maps(facts, ARRAY), *_loops(facts)), default=0)
    if most > MOST:
        reason = f"cgroup_init has {most} places for cgroups: whether those beyond are served is not known"
        advice = "Serve cgroups without a place of their own by a queue for all of them."
        finding = facts.finding("F28", "unknown", reason, "cgroup_init", advice)
        yield replace(finding, situations=(Situation.MORE_CGROUPS,))


def _arrays(facts: Facts) -> Iterator[int]:
    """Arrays among the globals, of which it cannot be told what they are for."""
    btf = facts.program.btf
    for name in (".bss", ".data"):
        for variable in btf.members(btf.find(name, DATASEC)):
            yield btf.elements(btf.get(variable.type_id).value)


def _maps(facts: Facts, *kinds: int) -> Iterator[int]:
    for call in facts.record.by_name(*LOOK_UPS):
        if call.entry == "cgroup_init" and isinstance(call.args[0], Expr):
            table = facts.program.maps.get(str(call.args[0].key))
            if table is not None and table.kind in kinds:
                yield table.max_entries


def _loops(facts: Facts) -> Iterator[int]:
    for call in facts.record.by_name(*LOOPS):
        end = call.args[LOOPS[call.name]]
        if call.entry == "cgroup_init" and isinstance(end, int):
            yield end & 0xFFFFFFFF

# SPDX-License-Identifier: Apache-2.0
"""Which rule stands for which policy of the library, and which kind another policy is of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from policy_lake.model import Policy
from policy_lake.profile import WorkloadProfile
from tasks.planners import rules
from tasks.planners.rules import Finding
from tasks.planners.traits import Traits

Rule = Callable[[WorkloadProfile, Traits], Finding]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of policy: the library policy that stands for it, the words that betray another one, and its rule."""

    policy: str
    words: tuple[str, ...]
    find: Rule


KINDS = (
    Kind("ljf", ("longest", "long job", "heavy tail", "heavy-tail", "makespan", "batch"), rules.longest_first),
    Kind("rr", ("latency", "wake-up", "wakeup", "interactive", "short slice", "round robin"), rules.short_slice),
    Kind("vtime", ("fair", "vtime", "mixed", "weight"), rules.fair),
    Kind("percpu", ("cache", "locality", "per-cpu", "affin", "numa", "stealing"), rules.local),
    Kind("fifo", ("fifo", "first come", "simplest", "control"), rules.control),
)
# The library's others: what their words betray is one of the kinds above, and says less than their own rule.
OWN: dict[str, Rule] = {
    "admission": rules.finish_begun,
    "background": rules.gives_up,
    "central": rules.long_turns,
    "cgroup": rules.by_priority,
    "chains": rules.chained,
    "critpath": rules.longest_chain,
    "edf": rules.by_priority,
    "eevdf": rules.control,
    "interactive": rules.gives_up,
    "layers": rules.by_priority,
    "llc": rules.in_place,
    "longest": rules.found_long,
    "longslice": rules.long_turns,
    "picktwo": rules.in_place,
    "shortest": rules.short_history,
    "smt": rules.in_place,
    "warm": rules.in_place,
}


def kind_of(policy: Policy) -> Kind | None:
    """The kind of a policy: by its id if it is the library's own, else by the most words of its description."""
    if policy.id in OWN:
        return Kind(policy.id, (), OWN[policy.id])
    own = next((kind for kind in KINDS if kind.policy == policy.id), None)
    text = f"{policy.title} {policy.summary} {policy.good_for}".lower()
    hits = {kind.policy: sum(text.count(word) for word in kind.words) for kind in KINDS}
    likely = max(KINDS, key=lambda kind: hits[kind.policy])
    return own or (likely if hits[likely.policy] else None)

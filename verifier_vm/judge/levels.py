# SPDX-License-Identifier: Apache-2.0
"""What nice levels do under a policy and under EEVDF: W4, on all CPUs and on one, by pairs of levels (F16).

A pair counts where EEVDF, doing the same work in the same guest, tells it apart. That a heavier task gets less, for
each thread and on one CPU as well, is no accident; that it gets no more is a FIFO's way, and is noted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from policy_lake.codes import Code
from policy_lake.model import Finding
from verifier_vm.judge.readings import Reading

LEVELS = (("W4-high", "nice -5"), ("W4-mid", "nice 0"), ("W4-low", "nice 5"))
WHERE = {"W4": "", "W4-same": "on one CPU "}
TOLD_APART = 1.5  # times what a nicer task gets, for EEVDF, and for a policy that honours ten levels; by weight 9.3
HALF = 1.2  # for five levels, by weight 3.05
_PAIRS = tuple(combinations(range(len(LEVELS)), 2))
_FLAT_ADVICE = "If the policy is to honour them, order by CPU time divided by p->scx.weight."
_INVERTED_ADVICE = (
    "Virtual time is CPU time divided by weight (used * 100 / p->scx.weight), and a turn's length grows with weight."
)


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two levels, the heavier first, and what they got, by exercise: under the policy, and under EEVDF."""

    high: int
    low: int
    policy: Mapping[str, Reading]
    base: Mapping[str, Reading]

    @property
    def where(self) -> tuple[str, ...]:
        """The exercises in which EEVDF tells them apart."""
        return tuple(name for name in WHERE if self.ratio(self.base[name]) >= TOLD_APART)

    @property
    def works(self) -> float:
        return TOLD_APART if self.high + 1 < self.low else HALF

    def ratio(self, reading: Reading) -> float:
        return reading[LEVELS[self.high][0]].run_ms / max(reading[LEVELS[self.low][0]].run_ms, 0.001)

    @property
    def flat(self) -> bool:
        where = self.where
        return bool(where) and all(self.ratio(self.policy[name]) < self.works for name in where)

    @property
    def inverted(self) -> bool:
        """For each thread, and in one of the two by more than equals differ by chance, as they do where turns are long.

        On all CPUs equals differ where each CPU has a queue of its own; then it is one CPU that says it.
        """
        if len(self.where) < len(WHERE):
            return False
        upside_down = all(self.ratio(self.policy[name]) < 1 / TOLD_APART for name in WHERE)
        apart = [self._apart_ms(self.policy[name]) for name in WHERE]
        return upside_down and all(ms > 0 for ms, _ in apart) and any(ms > by_chance for ms, by_chance in apart)

    def _apart_ms(self, reading: Reading) -> tuple[float, float]:
        """How much more the last of the lighter ones got than the first of the heavier, and how much equals differ."""
        high, low = (reading[LEVELS[at][0]] for at in (self.high, self.low))
        return low.least_ms - high.most_ms, max(group.most_ms - group.least_ms for group in (low, high))

    def __str__(self) -> str:
        first, same = (f"{WHERE[name]}{self.ratio(self.policy[name]):.2f} times" for name in WHERE)
        base = " and ".join(f"{self.ratio(self.base[name]):.2f}" for name in WHERE)
        return f"{LEVELS[self.high][1]} gets {first} what {LEVELS[self.low][1]} gets, {same} (EEVDF: {base})"


def compare_levels(policy: Mapping[str, Reading], base: Mapping[str, Reading]) -> Iterator[Finding]:
    """One finding at most, of the pairs that are the wrong way round, or else of those that make no difference."""
    if not (policy.keys() & base.keys()) >= WHERE.keys():
        return
    pairs = [_Pair(high, low, policy, base) for high, low in _PAIRS]
    if inverted := [pair for pair in pairs if pair.inverted]:
        why = f"nice levels work upside down: {_told(inverted)}"
        yield Finding("F16", "reject", why, "W4", _INVERTED_ADVICE, Code.NICE)
    elif flat := [pair for pair in pairs if pair.flat]:
        # Where the widest is flat the others say no more.
        none = next((pair for pair in flat if pair.works == TOLD_APART), None)
        why = f"nice levels have no effect: {none}" if none else f"nice levels are taken for the same: {_told(flat)}"
        yield Finding("F16", "note", why, "W4", _FLAT_ADVICE, Code.NICE)


def _told(pairs: list[_Pair]) -> str:
    return "; ".join(map(str, pairs))

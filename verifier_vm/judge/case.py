# SPDX-License-Identifier: Apache-2.0
"""One situation by itself, as a line of words that repeats it to the bit, and what is smaller than it.

`W1+W6 seconds=1.5 hogs=2 cpus=2 uptime_s=4283`: workloads at once, their sizes, the guest. `minimized` shortens one
that a policy fails in to the smallest that it still fails in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from policy_lake.errors import InputError
from policy_lake.limits import SEED, UPTIME
from policy_lake.topology import Topology
from verifier_vm.judge.chosen import MOST_CHOSEN
from verifier_vm.judge.suite import Exercise, Part
from verifier_vm.situations import OF_WORKLOAD

# How many of what a workload makes: its option, and how many there are without it, for each CPU or in all.
SIZES: dict[str, tuple[tuple[str, int, bool], ...]] = {
    "W1": (("hogs", 2, True),), "W2": (("hogs", 2, True),), "W3": (("crowd_hogs", 40, False), ("crowd", 100, False)),
    "W4": (("each", 2, True),), "W6": (("floating", 2, True),), "W7": (("sleepers", 2, True),),
    "W8": (("forkers", 3, True),), "W11": (("brief", 1, False),), "W13": (("rt", 1, False),),
    "W20": (("convoy", 3, True),), "W23": (("tasks", 300, False),), "W25": (("herd", 150, False),),
}  # fmt: skip
TIMES = ("wander_us", "driven_ms", "narrow_ms", "child_us", "seldom_ms", "ring_ms", "crowd_ms", "probe_ms", "ping_us",
         "nap_ms", "convoy_us", "at", "nap_s")  # fmt: skip
CHOSEN = (
    "level",
    *(f"pid{i}" for i in range(1, MOST_CHOSEN + 1)),
    *(f"name{i}_{part}" for i in range(1, MOST_CHOSEN + 1) for part in range(4)),
)
NUMBERS = frozenset((*TIMES, *CHOSEN, *(name for sizes in SIZES.values() for name, _, _ in sizes)))
LARGEST = 2**32 - 1
LONGEST_S, SHORTEST_S = 30.0, 0.01
SHORTENED_S = 0.1  # no shorter when it is made small
LONGEST_TEXT = 900  # eight names are 700
MOST_GUESTS = 40


@dataclass(frozen=True, slots=True)
class Case:
    """An exercise on a topology, from a seed, in a guest that was up for `uptime_s` of its own time before."""

    exercise: Exercise
    topology: Topology
    seed: int = 0
    uptime_s: int = 0

    def __str__(self) -> str:
        one, on = self.exercise, self.topology
        words = [one.workloads, f"seconds={one.seconds:g}", *([f"base_s={one.base_s:g}"] if one.base_s else [])]
        words += [*one.args, f"cpus={on.cpus}"]
        words += [f"{name}={count}" for name in ("llcs", "smt", "nodes") if (count := getattr(on, name)) > 1]
        words += [f"{name}={getattr(self, name)}" for name in ("seed", "uptime_s") if getattr(self, name)]
        return " ".join(words)

    @property
    def part(self) -> Part:
        """The guest for it, which is no proof of its topology."""
        offline = "W28" in self.exercise.workloads.split("+")
        return Part(
            "one situation", (self.exercise,), self.topology, uptime_s=self.uptime_s, offline=offline, counts=False
        )


def cases_of(part: Part, topology: Topology, seed: int) -> list[Case]:
    """Each of a part's exercises by itself; `topology` is the guest's where the part has none of its own."""
    on = part.topology or topology
    return [Case(one, on, seed, part.up_s) for one in (*part.exercises, *part.last)]


def parse_case(text: str, where: str) -> Case:
    """The case that `str` wrote; InputError, which begins with `where`, for anything else."""
    words = text.split() if len(text) <= LONGEST_TEXT else []
    if not words or any(name not in OF_WORKLOAD for name in words[0].split("+")):
        raise InputError(f"{where}: {text[:60]!r} does not begin with workloads of the suite, such as W1+W6")
    numbers = dict(_number(word, where) for word in words[1:])
    if len(numbers) < len(words) - 1:
        raise InputError(f"{where}: a number is given twice")
    try:
        topology = Topology(*(int(numbers.pop(name, default)) for name, default in _SHAPE.items()))
        seed, uptime_s = (int(numbers.pop(name, 0)) for name in ("seed", "uptime_s"))
        SEED.check(seed)
        UPTIME.check(uptime_s)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    seconds, base_s = numbers.pop("seconds", 1.0), numbers.pop("base_s", 0.0)
    if not SHORTEST_S <= seconds <= LONGEST_S or base_s > seconds:  # no number here is below 0
        raise InputError(f"{where}: seconds is not from {SHORTEST_S:g} to {LONGEST_S:g}, or base_s is longer")
    args = tuple(f"{name}={value:.10g}" for name, value in numbers.items())
    name = "W4-same" if words[0] == "W4" and "at=0" in args else words[0]  # as the suite calls it
    return Case(Exercise(name, words[0], seconds, args, base_s), topology, seed, uptime_s)


def minimized(case: Case, fails: Callable[[Case], bool], *, most: int = MOST_GUESTS) -> tuple[Case, int]:
    """The smallest case found that still fails, by one step after the other, and how many were tried.

    `fails` starts a guest; the search ends after `most` of them, or when no step is left that still fails.
    """
    tried: dict[Case, bool] = {}
    found = True
    while found:
        found = False
        for less in smaller(case):
            if less not in tried:
                if len(tried) == most:
                    return case, most
                tried[less] = fails(less)
            if tried[less]:
                case, found = less, True
                break
    return case, len(tried)


def smaller(case: Case) -> Iterator[Case]:
    """One step smaller each: fewer CPUs, fewer workloads, less time, fewer tasks; what saves most comes first."""
    one = case.exercise
    for fewer in (Topology(1), Topology(2)):
        if fewer.cpus < case.topology.cpus or (fewer.cpus == case.topology.cpus and fewer != case.topology):
            yield replace(case, topology=fewer)
    if case.uptime_s:
        yield replace(case, uptime_s=0)
    names = one.workloads.split("+")
    for name in names if len(names) > 1 else ():
        kept = "+".join(other for other in names if other != name)
        yield replace(case, exercise=replace(one, name=kept, workloads=kept, args=_of(kept, one.args)))
    for seconds in (one.seconds / 4, one.seconds / 2):
        if seconds >= SHORTENED_S:
            less = round(seconds, 2)
            yield replace(case, exercise=replace(one, seconds=less, base_s=min(one.base_s, less)))
    given = dict(word.partition("=")[::2] for word in one.args)
    for name, count in dict(_sizes(case)).items():
        now = int(float(given.get(name, count)))
        for fewer_of in dict.fromkeys((1, now // 4, now // 2)):
            if 0 < fewer_of < now:
                yield replace(case, exercise=replace(one, args=_with(one.args, name, fewer_of)))


_SHAPE = {"cpus": 2, "llcs": 1, "smt": 1, "nodes": 1}
_WHOLE = frozenset((*_SHAPE, "seed", "uptime_s"))


def _number(word: str, where: str) -> tuple[str, float]:
    name, _, text = word.partition("=")
    digits = text.replace(".", "", 0 if name in _WHOLE else 1)
    known = name in NUMBERS | _WHOLE | {"seconds", "base_s"}
    if not known or not digits.isascii() or not digits.isdigit() or len(digits) > 10 or float(text) > LARGEST:
        raise InputError(f"{where}: {word[:40]!r} is no number of a situation, NAME=NUMBER")
    return name, float(text)


def _sizes(case: Case) -> Iterator[tuple[str, int]]:
    for workload in case.exercise.workloads.split("+"):
        for name, count, by_cpu in SIZES.get(workload, ()):
            yield name, count * case.topology.cpus if by_cpu else count


def _with(args: tuple[str, ...], name: str, count: int) -> tuple[str, ...]:
    return (*(word for word in args if word.partition("=")[0] != name), f"{name}={count}")


def _of(workloads: str, args: tuple[str, ...]) -> tuple[str, ...]:
    """Without the sizes of workloads that are gone."""
    sizes = {name for known in SIZES.values() for name, _, _ in known}
    kept = {name for workload in workloads.split("+") for name, _, _ in SIZES.get(workload, ())}
    return tuple(word for word in args if (name := word.partition("=")[0]) not in sizes or name in kept)

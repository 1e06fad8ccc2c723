# SPDX-License-Identifier: Apache-2.0
"""One situation by itself, as a line of words that repeats it to the bit.

`W1+W6 seconds=1.5 hogs=2 cpus=2 uptime_s=4283`: workloads at once, their sizes, the guest.
"""

from __future__ import annotations

from dataclasses import dataclass

from policy_lake.errors import InputError
from policy_lake.limits import SEED, UPTIME
from policy_lake.topology import Topology
from verifier_vm.judge.chosen import MOST_CHOSEN
from verifier_vm.judge.part import Exercise, Part
from verifier_vm.situations import OF_WORKLOAD

# How many of what a workload makes: its option, and how many there are without it, for each CPU or in all.
SIZES: dict[str, tuple[tuple[str, int, bool], ...]] = {
    "W1": (("hogs", 2, True),), "W2": (("hogs", 2, True),), "W3": (("crowd_hogs", 40, False), ("crowd", 100, False)),
    "W4": (("each", 2, True),), "W6": (("pinned", 2, False), ("floating", 2, True)), "W7": (("sleepers", 2, True),),
    "W8": (("forkers", 3, True),), "W11": (("brief", 1, False),), "W13": (("rt", 1, False),),
    "W20": (("convoy", 3, True),), "W23": (("tasks", 300, False),), "W25": (("herd", 150, False),),
    "W29": (("tasks", 300, False),), "W29-large": (("tasks", 300, False),), "W36": (("cgroups", 10, False),),
}  # fmt: skip
TIMES = ("wander_us", "driven_ms", "narrow_ms", "child_us", "seldom_ms", "ring_ms", "crowd_ms", "probe_ms", "ping_us",
         "nap_ms", "convoy_us", "at", "nap_s", "late_ms", "piece_us")  # fmt: skip
CHOSEN = (
    "level",
    *(f"pid{i}" for i in range(1, MOST_CHOSEN + 1)),
    *(f"name{i}_{part}" for i in range(1, MOST_CHOSEN + 1) for part in range(4)),
)
NUMBERS = frozenset((*TIMES, *CHOSEN, *(name for sizes in SIZES.values() for name, _, _ in sizes)))
LARGEST = 2**32 - 1
LONGEST_S, SHORTEST_S = 30.0, 0.01
LONGEST_TEXT = 900  # eight names are 700


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
    """Each of a part's exercises by itself; `topology` is the guest's where the part has none of its own.

    None of a part that gives the object another start: a case has no words for that.
    """
    if part.starts:
        return []
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
    return Case(exercise_of(words[0], seconds, args, base_s), topology, seed, uptime_s)


def exercise_of(workloads: str, seconds: float, args: tuple[str, ...], base_s: float) -> Exercise:
    """Workloads by themselves, under the name that the suite has for them."""
    name = "W4-same" if workloads == "W4" and "at=0" in args else workloads
    return Exercise(name, workloads, seconds, args, base_s)


_SHAPE = {"cpus": 2, "llcs": 1, "smt": 1, "nodes": 1}
_WHOLE = frozenset((*_SHAPE, "seed", "uptime_s"))


def _number(word: str, where: str) -> tuple[str, float]:
    name, _, text = word.partition("=")
    digits = text.replace(".", "", 0 if name in _WHOLE else 1)
    known = name in NUMBERS | _WHOLE | {"seconds", "base_s"}
    if not known or not digits.isascii() or not digits.isdigit() or len(digits) > 10 or float(text) > LARGEST:
        raise InputError(f"{where}: {word[:40]!r} is no number of a situation, NAME=NUMBER")
    return name, float(text)

# SPDX-License-Identifier: Apache-2.0
"""Which situations an object asks for: as many tasks as its tables hold and more, at once or one after the other, CPUs
beyond its arrays, tasks that cannot migrate, cgroups with weights, and what its conditions name: times, numbers, names
and levels. A suite of fixed sizes meets none but by luck.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from policy_lake.knobs import OPS_FLAG, values_of
from policy_lake.topology import Topology
from verifier_vm.judge.chosen import NOTHING, Chosen, choose, guests
from verifier_vm.judge.chosen import exercises as chosen_exercises
from verifier_vm.judge.counted import counted_parts
from verifier_vm.judge.part import Exercise, Part
from verifier_vm.judge.suite import SuiteTier, elsewhere, parts
from verifier_vm.judge.wrapped import with_wraps
from verifier_vm.object.analyse import OURS, read_facts
from verifier_vm.object.asked_cpus import cpu_counts
from verifier_vm.object.cgroup_places import MOST as MOST_CGROUPS
from verifier_vm.object.cgroup_places import places
from verifier_vm.object.check_switches import switches
from verifier_vm.object.check_tables import LARGE, SMALL
from verifier_vm.object.check_times import Wrap, wraps
from verifier_vm.object.cpu_counts import provided
from verifier_vm.object.errors import ObjectError
from verifier_vm.object.facts import Facts
from verifier_vm.object.kernel import ENQ_MIGRATION_DISABLED, HASHES
from verifier_vm.object.program import Program
from verifier_vm.object.turns import keeps_clock, looks_again

BY_NAME = "SCX_OPS_ENQ_MIGRATION_DISABLED"
CGROUP_CALLBACKS = frozenset({"cgroup_init", "cgroup_set_weight"})
FEWEST_TASKS = 32  # in smaller tables nobody keeps tasks
MOST_TASKS = {"short": 1200, "full": 4000}  # threads that a guest of 512 MiB bears, and that the tier has time for
MORE = 60  # than there are places, the guest's own tasks not counted
STALL_S = 2.4  # longer than a stall takes to be found
TWO = 2  # that every guest has
MOST_IN_TURN = {"short": SMALL + MORE, "full": LARGE + MORE}  # threads that come and go
FOUR_CPUS = 4
HELD_S = 4.5  # for who waits behind what lagged: 1.2 s of a real-time task, and longer than a stall takes to be found
FOUR = Part(
    "4 CPUs",
    (Exercise("W34", "W34", 0.5, base_s=0.3), Exercise("W37", "W37", 0.8, base_s=0.3)),
    Topology(FOUR_CPUS),
    counts=False,
    asked_for=True,
)
CPU_COUNTS = (6, 10, 18)  # of guests that take a second; few, for each has a snapshot of its own


@dataclass(frozen=True, slots=True)
class Aims:
    """What is to be tried: so many `tasks` at once, or `in_turn`, so many `cpus` (and `cpus_for` what), so many
    `cgroups` at once, tasks that cannot migrate, CPUs that look in vain where dispatch is `switched` off by itself,
    more CPUs than two where it `looks_again`, a CPU that is held where running `keeps_clock`, cgroups that are
    `weighted` before it comes, what is `chosen` for its conditions, guests in which its `counted` run out,
    and times that `wrap`.
    """

    tasks: int = 0
    in_turn: int = 0
    cpus: int = 0
    cpus_for: str = ""
    cgroups: int = 0
    migration_disabled: bool = False
    switched: bool = False
    looks_again: bool = False
    keeps_clock: bool = False
    weighted: bool = False
    chosen: Chosen = NOTHING
    counted: tuple[Part, ...] = ()
    wrap: frozenset[Wrap] = frozenset()


def read_aims(data: bytes, tier: SuiteTier, arguments: Sequence[str] = ()) -> Aims:
    """The aims of an object with its loader's words; none of one that cannot be read, which another stage refuses."""
    try:
        facts = read_facts(data, arguments)
        chosen, counted, wrapping = choose(facts, tier), counted_parts(facts, tier), wraps(facts)
        again, clock = looks_again(facts), keeps_clock(facts)
    except (ObjectError, *OURS):
        return Aims()
    disabled = facts.flag(ENQ_MIGRATION_DISABLED) or BY_NAME in values_of(arguments).get(OPS_FLAG, "").split(",")
    tasks, in_turn = (_tasks(facts.program, most[tier]) for most in (MOST_TASKS, MOST_IN_TURN))
    weighted = not CGROUP_CALLBACKS.isdisjoint(facts.ops.callbacks)
    cgroups = max((count + 2 for count in places(facts) if count <= MOST_CGROUPS), default=0)
    switched = next(switches(facts), None) is not None
    return Aims(
        tasks, in_turn, *_cpus(facts), cgroups, disabled, switched, again, clock, weighted, chosen, counted, wrapping
    )


def _tasks(program: Program, most: int) -> int:
    sizes = [table.max_entries for table in program.maps.values() if table.kind in HASHES]
    wanted = [size + MORE for size in sizes if size >= FEWEST_TASKS and size + MORE <= most]
    return max(wanted, default=0)


def _cpus(facts: Facts) -> tuple[int, str]:
    """CPUs with numbers that it may not have provided for, or that its conditions ask for, and what does: what comes
    with more shows what comes with fewer.
    """
    most = CPU_COUNTS[-1]
    # `cpu > 3` is a matter of the fifth CPU.
    wanted = {count + 2: why for count, why in provided(facts).items() if 0 < count <= most - 2}
    for count, pc in cpu_counts(facts).items():
        if TWO < count <= most:
            line = next((at for at in range(pc, -1, -1) if at in facts.program.lines), pc)
            wanted.setdefault(count, f"the condition at {facts.place('', line, pc)}")
    largest = max(wanted, default=0)
    return (next(cpus for cpus in CPU_COUNTS if cpus >= largest), wanted[largest]) if wanted else (0, "")


def aimed_parts(
    data: bytes, tier: SuiteTier, arguments: Sequence[str] = (), topologies: Sequence[Topology] = ()
) -> tuple[Part, ...]:
    """The tier's guests with what the object asks for, and further guests for CPU counts of its own.

    `arguments` are its loader's `NAME=VALUE` words, which may choose another of its policies, or set flags. On
    `topologies` it is tried, too, each in a guest of its own, where none of the tier's is such.
    """
    aims, known = read_aims(data, tier, arguments), parts(tier)
    tried = {part.topology.cpus for part in known if part.topology}
    more = [_beyond(aims.cpus, aims.cpus_for)] if aims.cpus > max(tried, default=0) else []
    more += [FOUR] if aims.looks_again and max(tried, default=0) < FOUR_CPUS else []
    known_topologies = {part.topology or Topology() for part in known}
    more += (*guests(aims.chosen), *aims.counted)
    more += [elsewhere(topology) for topology in dict.fromkeys(topologies) if topology not in known_topologies]
    return (*with_wraps([_aimed(part, aims, tier) for part in known], aims.wrap, tier), *more)


def _aimed(part: Part, aims: Aims, tier: SuiteTier) -> Part:
    seconds = 1.0 if tier == "short" else 3.0
    exercises = list(part.exercises)
    if aims.weighted:  # before any other that has cgroups: theirs end with the controller turned off
        first = next(at for at, one in enumerate(exercises) if one.name == "mix") + 1
        exercises.insert(first, Exercise("W12-before", "W12-before", seconds))
    if aims.tasks:
        exercises.append(Exercise("W23", "W23", seconds, (f"tasks={aims.tasks}",)))
    if aims.in_turn:
        name = "W29" if aims.in_turn <= SMALL + MORE else "W29-large"
        exercises.append(Exercise(name, name, 2 * seconds, (f"tasks={aims.in_turn}",)))
    if aims.cgroups:
        exercises.append(Exercise("W36", "W36", STALL_S, (f"cgroups={aims.cgroups}",)))
    if aims.switched:
        exercises.append(Exercise("W33", "W33", STALL_S))
    if aims.keeps_clock and (part.topology is None or part.topology.cpus > 1):
        exercises.append(Exercise("W38", "W38", HELD_S))
    if aims.migration_disabled:
        exercises.append(Exercise("W24", "W24", seconds / 4))
    exercises += chosen_exercises(aims.chosen, STALL_S)
    return replace(part, exercises=tuple(exercises))


def _beyond(cpus: int, why: str) -> Part:
    # The last for longer than a stall takes to be found: with much idle time, and so cheap under the virtual clock.
    exercises = (Exercise("W1", "W1", 0.3), Exercise("W25", "W25", 0.6, ("herd=60",)), Exercise("W5", "W5", 2.2))
    return Part(f"{cpus} CPUs, for {why}", exercises, Topology(cpus), counts=False, asked_for=True)

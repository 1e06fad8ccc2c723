# SPDX-License-Identifier: Apache-2.0
"""What one guest of the suite does: exercises, each some workloads at once, and the steps around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from policy_lake.events import exercise_label
from policy_lake.guest import GuestStep
from policy_lake.knobs import OPS_TIMEOUT, word
from policy_lake.topology import Topology
from verifier_vm.situations import Situation, made_by

OBJECT = "policy.bpf.o"
ATTACH, LAYOUT, DETACH, LOAD, UNLOAD = "attach", "layout", "detach", "load", "unload"
REST, OFFLINE, WEIGH = "rest", "offline", "weigh"
STEP_LIMIT_S = 40.0
LONGEST_REST_S = 8 * 86_400 + 3600  # a minute of the host's
# A host that runs a policy has been up for longer than a guest takes to boot: longer than an hour, and so long that a
# 32-bit number of microseconds (4,294.967 s) overflows early in the mix, while many wait and load goes on for longer
# than a stall takes to be found. The policy comes 1.2 s after the rest, and the full tier's W28 lasts 2 s longer.
UPTIME_S, FULL_UPTIME_S = 4292, 4289
USUAL_S = 4293  # the longest of what is no matter of the object's
_TAKE_LAST_CPU = GuestStep("run", ("adversary", "offline"), OFFLINE, timeout_s=STEP_LIMIT_S)
_LATE_CPU, _ENDING = Situation.LATE_CPU, {Situation.HOTPLUG, Situation.LATE_CPU}
_LATER = "late_ms=500"
_TURNOVERS = frozenset({Situation.TURNOVER, Situation.LARGE_TURNOVER})
Start = tuple[str, int, bytes]  # section, offset in it, what stands there at first


@dataclass(frozen=True, slots=True)
class Exercise:
    """Workloads that run at once (`W1+W6`) for `seconds` of the guest's time, under the policy.

    `name` is unique in its part; `base_s` is how long EEVDF does the same afterwards, 0: not at all.
    """

    name: str
    workloads: str
    seconds: float
    args: tuple[str, ...] = ()
    base_s: float = 0.0

    def step(self, role: Literal["policy", "baseline"], limit_ms: int) -> GuestStep:
        seconds = self.base_s if role == "baseline" else self.seconds
        args = ("adversary", self.workloads, f"seconds={seconds:g}", f"limit_ms={limit_ms}", *self.args)
        limit_s = STEP_LIMIT_S + seconds + self.nap_s
        return GuestStep("run", args, exercise_label(role, self.name), timeout_s=limit_s)

    @property
    def in_turn(self) -> int:
        """How many threads are to come and go, one after the other."""
        if _TURNOVERS.isdisjoint(made_by(self.workloads)):
            return 0
        return int(sum(float(word.partition("=")[2]) for word in self.args if word.startswith("tasks=")))

    @property
    def nap_s(self) -> float:
        """For how long it sleeps before its seconds begin: idle time, which no host waits for."""
        return sum(float(word.partition("=")[2]) for word in self.args if word.startswith("nap_s="))


@dataclass(frozen=True, slots=True)
class Part:
    """What one guest does: exercises on one topology, then `reloads` rounds of attaching and detaching.

    `topology` None: the caller's guest, whatever it is. `uptime_s`: for how long the guest was idle before, where its
    time is virtual; after `rested_s` more no guest is kept. With `offline` the policy is attached while the last CPU is
    off line, which W28 brings back. `last` end the policy, which is then attached anew for each, after all else.
    `deadline_s` of wall time ends a guest that hangs; on a quiet host a tenth of it is enough. `counts`: who passes it
    was tried on such a topology. `asked_for`: the object's constants ask for such a guest, and what is seen in it is
    told with its name. `starts` are values that some of its data have at first in this guest, and come to by themselves
    in time; `meets` is what that, or so long a run, brings about.
    """

    name: str
    exercises: tuple[Exercise, ...]
    topology: Topology | None = None
    reloads: int = 0
    uptime_s: int = 0
    rested_s: int = 0
    under_load: tuple[str, ...] = field(default=("W1", "hogs=4"))
    offline: bool = False
    deadline_s: float = 240.0
    last: tuple[Exercise, ...] = ()
    counts: bool = True
    asked_for: bool = False
    starts: tuple[Start, ...] = ()
    meets: tuple[Situation, ...] = ()

    @property
    def compared(self) -> tuple[Exercise, ...]:
        """The exercises that EEVDF repeats."""
        return tuple(exercise for exercise in self.exercises if exercise.base_s)

    @property
    def weighted(self) -> bool:
        """Whether the policy meets cgroups that have weights already: W12-before fills and removes them."""
        return any(Situation.CGROUPS_BEFORE in made_by(one.workloads) for one in self.exercises)

    def before(self, *, virtual: bool) -> tuple[GuestStep, ...]:
        """What the guest does before it is given the policy. An hour of the host's own time nobody waits for."""
        rests = self._rests(self.uptime_s) if virtual else ()
        weigh = GuestStep("run", ("adversary", "weigh"), WEIGH, timeout_s=STEP_LIMIT_S)
        wanted = ((_TAKE_LAST_CPU, self.offline), (weigh, self.weighted))
        rested = self._rests(self.rested_s) if virtual else ()
        return (*rests, *(step for step, is_wanted in wanted if is_wanted), *rested)

    def _rests(self, seconds: int) -> tuple[GuestStep, ...]:
        """Idle time, no step of which takes a host minutes: what is longer than usual with a quiet kernel."""
        how = ("quiet",) if self.up_s > USUAL_S else ()
        whole, rest_s = divmod(seconds, LONGEST_REST_S)
        return tuple(GuestStep("rest", (str(s), *how), REST) for s in (*[LONGEST_REST_S] * whole, rest_s) if s)

    @property
    def up_s(self) -> int:
        """For how long the guest has been up, in virtual time."""
        return self.uptime_s + self.rested_s

    def for_policy(self, *, hotplug: bool) -> Part:
        """The part for a policy that has what it takes to outlive a hotplug, or has not and is ended by one.

        One that is ended meets a CPU that goes, and one that comes late (W28), last. The latter comes later than to
        others: what it does until then is the only time that the policy has with a CPU off line.
        """
        if hotplug:
            return self
        last = tuple(replace(one, args=(*one.args, _LATER)) if _LATE_CPU in made_by(one.workloads) else one
                     for one in self.exercises if _ENDING & set(made_by(one.workloads)))  # fmt: skip
        rest = tuple(one for one in self.exercises if not _ENDING & set(made_by(one.workloads)))
        # What comes after those meets the same moment all the same: a 32-bit number that overflows early in the mix.
        earlier_s = sum(one.seconds for one in self.exercises[:1] if one not in rest)
        uptime_s = self.uptime_s + round(earlier_s) if self.uptime_s else 0
        return replace(self, exercises=rest, last=last, offline=False, uptime_s=uptime_s)

    def for_clock(self, *, virtual: bool) -> Part:
        """The part without what only virtual time has time for."""
        if virtual:
            return self
        timeless = (one for one in self.exercises if Situation.CHOSEN_TIMES not in made_by(one.workloads))
        meets = tuple(one for one in self.meets if one != Situation.WRAPPED)
        return replace(self, exercises=tuple(timeless), meets=meets)

    def without(self, exercise: Exercise) -> Part:
        """The part with all but that one; who has passed it all the same was tried on its topology."""
        kept = tuple(one for one in self.exercises if one != exercise)
        return replace(self, exercises=kept, offline=self.offline and kept[:1] == self.exercises[:1])

    def steps(self, knob_arguments: Sequence[str], limit_ms: int) -> tuple[GuestStep, ...]:
        """The guest's steps: what fails soonest and costs least comes first."""
        attach = _attach(knob_arguments, limit_ms)
        steps = [GuestStep("attach", attach, ATTACH), GuestStep("layout", label=LAYOUT)]
        steps += [exercise.step("policy", limit_ms) for exercise in self.exercises]
        # W17: taken off, and in W16 put on again, while others want every CPU.
        steps += [
            GuestStep("start", ("adversary", *self.under_load, "seconds=60"), LOAD),
            GuestStep("detach", (), DETACH, timeout_s=20),
        ]
        for turn in range(1, self.reloads + 1):
            steps += [
                GuestStep("attach", attach, f"{ATTACH}-{turn}"),
                GuestStep(
                    "run",
                    ("adversary", "W2", "seconds=0.2"),
                    exercise_label("policy", f"W16-{turn}"),
                    timeout_s=STEP_LIMIT_S,
                ),
                GuestStep("detach", (), f"{DETACH}-{turn}", timeout_s=20),
            ]
        steps.append(GuestStep("stop", (), UNLOAD))
        steps += [exercise.step("baseline", limit_ms) for exercise in self.compared]
        return (*steps, *self.ending(knob_arguments, limit_ms))

    def ending(self, knob_arguments: Sequence[str], limit_ms: int) -> tuple[GuestStep, ...]:
        """The last of the steps: what ends the policy, which is attached anew for each."""
        steps: list[GuestStep] = []
        for exercise in self.last:
            steps += [GuestStep("anew")] if steps else []
            steps += [_TAKE_LAST_CPU] if _LATE_CPU in made_by(exercise.workloads) else []
            steps.append(GuestStep("attach", _attach(knob_arguments, limit_ms), f"{ATTACH}-{exercise.name}"))
            steps.append(exercise.step("policy", limit_ms))
        return tuple(steps)


def _attach(knob_arguments: Sequence[str], limit_ms: int) -> tuple[str, ...]:
    return (OBJECT, *knob_arguments, word(OPS_TIMEOUT, limit_ms))

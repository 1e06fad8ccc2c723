# SPDX-License-Identifier: Apache-2.0
"""What a policy makes of the same work compared with EEVDF in the same guest: the stage `fair`.

A rejection needs a policy to be wrong, not different: a declared FIFO may ignore nice levels and let a waking task
wait a whole round. So shares that are upside down, threads that all but starve, CPUs that idle while tasks wait and
work that does not get done are rejected; the rest is noted with its figure. README.md gives the limits' reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from policy_lake.codes import Code
from policy_lake.model import Basis, Finding
from verifier_vm.judge.facts import Facts
from verifier_vm.judge.kernel_words import LAST_IDLES, STORM
from verifier_vm.judge.levels import compare_levels
from verifier_vm.judge.readings import Reading
from verifier_vm.object.kernel import ENQ_LAST

LEAST_WORK = 0.8  # of EEVDF's
LEAST_SHARE = 0.1  # of a thread's fair share
INTERRUPTED_SHARE = 0.45  # of what the worse of its equals gets, compared with EEVDF: policies with turns reach 0.6
STORM_SHARE = 0.3  # of what EEVDF gives hogs beside forking tasks
LEAST_JAIN = 0.8  # of EEVDF's
MOST_IDLE = 0.05  # of the time, each task that a CPU was free for
MOST_IDLE_ALONE = 0.03  # of the time, where each CPU has a hog that is bound to it
SLOW_PROBE = 10.0  # times EEVDF's, and above SLOW_PROBE_US
SLOW_PROBE_US = 50_000.0
HOPELESS_PROBE_US = 1_000_000.0
LEAST_HANDOVERS = 0.05  # of all yields
# Of cgroups with weights 300 and 100, half-way to where they count for nothing, as for nice levels: turns by weight
# from one queue, in ticks, fell as low as 1.37 in one second, while no policy that ignores weights came above 1.01.
LEAST_WEIGHT_RATIO = 1.2
QUOTA = 0.1  # of all CPU time, as cgroups.c sets it
QUOTA_SLACK = 1.5  # times the quota
ALONE = ("W12-shares", "W12-before")  # checked by themselves: what EEVDF makes of weights is known
_IDLE_ADVICE = (
    "Kick an idle CPU that may run the task on every enqueue (select_cpu is not always called), look again before a CPU"
    " idles, and give back one that was claimed and not used (F23)."
)


@dataclass(frozen=True, slots=True)
class Compared:
    """The readings of one exercise under the policy and under EEVDF, and what is known of the policy."""

    policy: Reading
    base: Reading
    facts: Facts


def compare(
    policy: Mapping[str, Reading], base: Mapping[str, Reading], facts: Facts, *, cgroups: bool
) -> tuple[Finding, ...]:
    """What the exercises that both ran show, by exercise name; `cgroups`: the policy promises to honour cgroups."""
    findings: list[Finding] = []
    for name, check in _COMPARED.items():
        if name in policy and name in base:
            findings += check(Compared(policy[name], base[name], facts))
    findings += compare_levels(policy, base)
    if "W12-shares" in policy:
        findings += _cgroups(policy["W12-shares"], facts, cgroups)
    if "W12-before" in policy:
        findings += _weights_before(policy["W12-before"], facts, cgroups)
    return tuple(findings)


def _equal_hogs(both: Compared) -> Iterator[Finding]:
    hogs, base = both.policy["W1-hog"], both.base["W1-hog"]
    yield from _work("W1", both, "W1-hog")
    if hogs.least_share < LEAST_SHARE:
        yield Finding("F18", "reject", f"a hog got {hogs.least_share:.0%} of its fair share beside its equals (limit"
                      f" {LEAST_SHARE:.0%})", "W1", "Charge every task what it used, and let the queue's clock only go"
                      " forward: some task is put last again and again.", Code.SHARE)  # fmt: skip
    elif hogs.jain < LEAST_JAIN * base.jain:
        yield Finding("F18", "note", f"equal hogs share unevenly: Jain's index {hogs.jain:.2f}, EEVDF {base.jain:.2f}",
                      "W1", "Shorter slices, or a charge by CPU time, make shares even.", Code.SHARE)  # fmt: skip


def _beside_pulses(both: Compared) -> Iterator[Finding]:
    """Three hogs bound to one CPU that a real-time task interrupts 125 times a second."""
    share, base = both.policy["W21-pinned"].least_share, both.base["W21-pinned"].least_share
    if share < LEAST_SHARE < base:
        why = f"beside a periodic real-time task one of equal hogs got {share:.0%} of its share, under EEVDF {base:.0%}"
        advice = "A task that is interrupted goes on with what is left of its slice: do not refill it in running."
        yield Finding("F31", "reject", why, "W21", advice, Code.SHARE)


def _interrupted(both: Compared) -> Iterator[Finding]:
    """Of three equal hogs on one CPU one is interrupted after each millisecond; EEVDF gives it its third."""
    share, base = map(_interrupted_share, (both.policy, both.base))
    if share < INTERRUPTED_SHARE * base:
        why = f"a hog that is interrupted again and again got {share:.2f} of its equals' time, under EEVDF {base:.2f}"
        advice = "Charge the growth of p->se.sum_exec_runtime: what a slice lacks was charged before, in part."
        yield Finding("F17", "note", why, "W30", advice, Code.SHARE)


def _interrupted_share(reading: Reading) -> float:
    # The worse of two: where turns are long, who is put last in so short a time is chance.
    return reading["W30-interrupted"].run_ms / max(reading["W30-equal"].least_ms, 0.001)


def _fork_storm(both: Compared) -> Iterator[Finding]:
    """Hogs beside new tasks without end, in numbers that leave them a quarter."""
    share, base = (reading["W8-hog"].run_ms / reading.capacity_ms for reading in (both.policy, both.base))
    if share < STORM_SHARE * base:
        why = f"hogs get {share:.0%} of the CPU time beside tasks that fork, under EEVDF {base:.0%}"
        advice = "New tasks run before all others: start them at the current vtime, in enable."
        yield Finding("F15", "reject", why, "W8", advice, Code.SHARE)


def _work(place: str, both: Compared, group: str) -> Iterator[Finding]:
    """Of what the CPUs had to give, how much became work: less where CPUs idle or callbacks take the time."""
    done = both.policy[group].work_ms / both.policy.capacity_ms
    base = both.base[group].work_ms / both.base.capacity_ms
    if done >= LEAST_WORK * base:
        return
    busy = both.policy[group].run_ms / both.policy.capacity_ms
    if (storm := both.policy.storm()) and not both.base.storm():
        why = f"{storm}, and got {done:.0%} of the CPU time's work done, under EEVDF {base:.0%}"
        yield Finding(STORM.bug, "reject", why, place, STORM.advice, Code.OVERHEAD, basis=STORM.basis)
    elif busy < LEAST_WORK * base:
        last = place == "W11" and not both.facts.tracks_idle_itself
        basis: Basis = ""
        bug, basis = ("F24", basis) if last else _idle_bug(both.facts)
        advice = LAST_IDLES.advice if last and both.facts.flags & ENQ_LAST else _IDLE_ADVICE
        yield Finding(bug, "reject", f"CPUs idled while hogs waited: hogs used {busy:.0%} of the CPU time, under EEVDF"
                      f" {base:.0%}", place, advice, Code.IDLE_CPU, basis=basis)  # fmt: skip
    else:
        yield Finding("F36", "reject", f"the policy takes the CPU itself: hogs got {done:.0%} of the CPU time's work"
                      f" done, under EEVDF {base:.0%}", place, "A callback takes too long: bound its loops, and do not"
                      " walk long queues.", Code.OVERHEAD)  # fmt: skip


def _latency(both: Compared) -> Iterator[Finding]:
    late, base = both.policy.figure("late_p99_us"), both.base.figure("late_p99_us")
    delays = f"a task that wakes among hogs waits {late / 1000:.1f} ms (p99), under EEVDF {base / 1000:.1f} ms"
    advice = "Run waking tasks before those whose slice ended, or shorten slices while tasks wait."
    if not both.policy.figure("late_n") or late > HOPELESS_PROBE_US:
        yield Finding("F19", "reject", f"{delays} (limit {HOPELESS_PROBE_US / 1e6:.0f} s)", "W2", advice, Code.LATENCY)
    elif late > max(SLOW_PROBE * base, SLOW_PROBE_US):
        yield Finding("F19", "note", delays, "W2", advice, Code.LATENCY)


def _sparse(both: Compared) -> Iterator[Finding]:
    """There are no more tasks than CPUs: whatever waits, waits beside an idle CPU."""
    if both.policy.cpus == 1:
        return
    waited, base = (reading["W10-sparse"].delay_ms / reading.wall_ms for reading in (both.policy, both.base))
    if waited > MOST_IDLE * (both.policy.cpus - 1) + 2 * base:
        why = f"a CPU idled while a task was queued for {waited:.0%} of the time, under EEVDF for {base:.1%}"
        bug, basis = _idle_bug(both.facts)
        yield Finding(bug, "reject", why, "W10", _IDLE_ADVICE, Code.IDLE_CPU, basis=basis)


def _in_step(both: Compared) -> Iterator[Finding]:
    """As many tasks as CPUs wake at once, and sleep most of the time: a CPU that was idle is there for each."""
    if both.policy.cpus == 1:
        return
    waited, base = (reading["W34-woken"].delay_ms / reading.wall_ms for reading in (both.policy, both.base))
    if waited > MOST_IDLE * (both.policy.cpus - 1) + 2 * base:
        why = f"CPUs idled while tasks woken at once waited for {waited:.0%} of the time, under EEVDF for {base:.1%}"
        bug, basis = _idle_bug(both.facts)
        yield Finding(bug, "reject", why, "W34", _IDLE_ADVICE, Code.IDLE_CPU, basis=basis)


def _one_side(both: Compared) -> Iterator[Finding]:
    yield from _work("W35", both, "W35-hog")


def _beside_brief(both: Compared) -> Iterator[Finding]:
    """A hog is bound to each CPU, which has no reason to idle when the one beside it sleeps."""
    idled, base = (_idle_share(reading) for reading in (both.policy, both.base))
    if idled > MOST_IDLE_ALONE + 2 * base:
        why = f"CPUs idled for {idled:.0%} of the time while a hog bound to them waited, under EEVDF for {base:.1%}"
        bug, basis = _idle_bug(both.facts)
        advice = _IDLE_ADVICE
        if both.facts.flags & ENQ_LAST and bug == "F21":  # the hog is its CPU's last task whenever the other sleeps
            bug, basis, advice = LAST_IDLES.bug, "guess", LAST_IDLES.advice
        yield Finding(bug, "reject", why, "W37", advice, Code.IDLE_CPU, basis=basis)


def _idle_share(reading: Reading) -> float:
    return 1 - (reading["W37-hog"].run_ms + reading["W37-brief"].run_ms) / reading.capacity_ms


def _idle_bug(facts: Facts) -> tuple[str, Basis]:
    """A CPU that is claimed and lost idles like one that a wrong mask of the policy's own never shows as idle: which of
    both, figures do not tell. Nobody loses what nobody claims."""
    return ("F23", "guess") if facts.tracks_idle_itself and facts.proven.claims else ("F21", "")


def _one_hog_a_cpu(both: Compared) -> Iterator[Finding]:
    yield from _work("W11", both, "W11-hog")


def _yields(both: Compared) -> Iterator[Finding]:
    share = _handovers(both.policy)
    if share >= LEAST_HANDOVERS or _handovers(both.base) < 2 * LEAST_HANDOVERS:
        return
    figures = both.policy.figures
    handed_over = (
        f"of {figures['yields']:.0f} calls of sched_yield beside an equal, {figures['handovers']:.0f} let it run;"
        f" under EEVDF {_handovers(both.base):.0%} do"
    )
    if "yield" in both.facts.callbacks:
        advice = "Set the slice of the yielding task to 0 in yield, or leave yield out: the kernel then does so."
        yield Finding("F40", "reject", handed_over, "W15", advice, Code.YIELD)
    else:
        advice = "A task that yields is picked again at once: others wait for a spinner."
        yield Finding("F40", "note", handed_over, "W15", advice, Code.YIELD)


def _handovers(reading: Reading) -> float:
    return reading.figure("handovers") / max(1.0, reading.figure("yields"))


def _cgroups(reading: Reading, facts: Facts, required: bool) -> Iterator[Finding]:
    """EEVDF, which takes a second to spread cgroups over CPUs, gives 1.8 to 3 and keeps within 1.1 of the quota."""
    ratio = reading["W12-heavy"].run_ms / max(reading["W12-light"].run_ms, 0.001)
    quota = reading["W12-quota"].run_ms / (QUOTA * reading.capacity_ms)
    weights_lost, quota_lost = ratio < LEAST_WEIGHT_RATIO, quota > QUOTA_SLACK
    broken = [f"a cgroup of weight 300 gets {ratio:.2f} times what one of 100 gets"] if weights_lost else []
    broken += [f"a cgroup uses {quota:.1f} times its cpu.max"] if quota_lost else []
    if not broken:
        return
    promised = (weights_lost and (required or "cgroup_set_weight" in facts.callbacks)) or (
        quota_lost and "cgroup_set_bandwidth" in facts.callbacks
    )
    advice = (
        "Shares and quotas of containers are void, unless the policy keeps weights and bandwidth of cgroups itself."
    )
    if promised and not required:
        advice += " A callback that is told of them is a promise: leave it out if they are not to count."
    level: Literal["reject", "note"] = "reject" if promised else "note"
    yield Finding("F41", level, "; ".join(broken), "W12", advice, Code.CGROUP_SHARE)


def _weights_before(reading: Reading, facts: Facts, required: bool) -> Iterator[Finding]:
    """Cgroups that had their weights when the policy came: that these count is promised with cgroup_set_weight, too."""
    ratio = reading["W12-heavy"].run_ms / max(reading["W12-light"].run_ms, 0.001)
    if ratio < LEAST_WEIGHT_RATIO:
        promised = required or "cgroup_set_weight" in facts.callbacks
        why = f"a cgroup of weight 300 gets {ratio:.2f} times what one of 100 gets, where both had them before it came"
        advice = "Take a cgroup's weight from args->weight in cgroup_init, which is called for all that there are."
        yield Finding("F41", "reject" if promised else "note", why, "W12", advice, Code.CGROUP_SHARE)


_COMPARED: Mapping[str, Callable[[Compared], Iterator[Finding]]] = {
    "W1": _equal_hogs, "W2": _latency, "W8": _fork_storm, "W10": _sparse, "W11": _one_hog_a_cpu, "W15": _yields,
    "W21": _beside_pulses, "W30": _interrupted, "W34": _in_step, "W35": _one_side, "W37": _beside_brief,
}  # fmt: skip

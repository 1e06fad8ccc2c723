# SPDX-License-Identifier: Apache-2.0
"""Why a task was not run, by the kernel's dump of that moment: one rule for one cause, the first that holds.

A rule looks at where the task stands and at who has the CPUs that it may use. `evidence`: the dump shows it. `guess`:
the dump shows that somebody else is preferred, and what makes the policy do so is only likely. Without any rule that
holds the thread's name is all there is (kernel_words.py), and that is a guess, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from verifier_vm.judge import kernel_words as words
from verifier_vm.judge.dump import ENDLESS_SLICE, GLOBAL_DSQ, LOCAL_DSQ, Dump, Task
from verifier_vm.judge.scene import Explained, Scene
from verifier_vm.judge.task_words import place_in_words, queue_in_words, seconds, waits
from verifier_vm.object.record import SOME_QUEUE

OWN_REALTIME = ("init", "loader", "adversary")  # the verifier's: they run for a moment, and always did
REALTIME = ("rt_sched_class", "dl_sched_class", "stop_sched_class")
ROUNDS = 2  # of a queue: in order, nobody waits for more than one where as many come as go
ENQ_LAST = 1 << 1  # SCX_OPS_ENQ_LAST
_STUCK = re.compile(r"(?P<comm>.{1,32})\[(?P<pid>[0-9]{1,10})\] failed to run for")
_FOR = re.compile(r"failed to check in for (?P<seconds>[0-9]{1,6}\.[0-9]{1,6})s")


def stuck_task(dump: Dump, said: str) -> Task | None:
    """The task that the kernel's words name, else the one that waited longest; None where nobody waits, or where it was
    the kernel's watchdog that did not run and all others wait for less than half as long: then they have their turns.
    """
    waiting = dump.waiting
    named, own = _STUCK.search(said), _FOR.search(said)
    pid = int(named["pid"]) if named else -1
    long = [task for task in waiting if own is None or task.waited_ms >= float(own["seconds"]) * 500]
    return next((task for task in waiting if task.pid == pid), long[0] if long else None)


def explain(scene: Scene) -> Explained | None:
    """Why the stuck task was not run; None where no rule holds that the object leaves possible."""
    return next((found for rule in RULES if (found := rule(scene)) and not _disproven(found, scene)), None)


def _disproven(found: Explained, scene: Scene) -> bool:
    """Whether the object does not do that, however a moment looks; no queue, or a long slice, is seen."""
    return found.cause not in (words.LOST, words.ENDLESS) and found.cause.bug in scene.proven.refuted


def global_goes_first(scene: Scene) -> Explained | None:
    """F43: the kernel looks into the global queue before it calls dispatch, and somebody always stands there.

    Whoever waits for dispatch, which the policy has its own tasks come from, is not lost: it is not asked for.
    """
    stuck = scene.stuck
    kept = stuck.dsq is None and stuck.in_custody and scene.proven.keeps
    if not (kept or scene.in_own_queue) or scene.free is not None:
        return None
    served = [task for task in scene.dump.waiting if task.dsq == GLOBAL_DSQ and scene.is_young(task)]
    had_turns = any(task.dsq == stuck.dsq and scene.is_young(task) for task in scene.dump.waiting)
    if not served or had_turns:
        return None
    where = "for dispatch to take it" if kept else place_in_words(stuck)
    others = f" and {len(served) - 1} more" if len(served) > 1 else ""
    why = (
        f"{stuck.name} has waited {where} for {seconds(stuck)}, while {served[0].name}{others} in the global queue had"
        " turns: the kernel looks there before it calls dispatch"
    )
    return Explained(words.GLOBAL_FIRST, why, "guess")


def in_no_queue(scene: Scene) -> Explained | None:
    """F01: enqueue was given the task, and it is in no queue of the kernel's."""
    stuck = scene.stuck
    if not stuck.in_custody or stuck.dsq is not None:
        return None
    others = sum(task.in_custody and task.dsq is None for task in scene.dump.waiting) - 1
    why = f"{stuck.name} is in no queue: the policy was given it {seconds(stuck)} ago and has not inserted it since"
    why += f", and {others} more" if others else ""
    on = next((cpu for cpu in scene.dump.cpus if cpu.number == stuck.cpu), None)
    if scene.flags & ENQ_LAST and on and scene.dump.is_free(on) and not others:
        return Explained(words.LAST_IDLES, why, "guess")
    named = words.cause_of_name(stuck.comm)
    if named is words.CROWDED:
        return Explained(words.CROWDED, why, "guess")
    return Explained(words.LOST, why)


def behind_realtime(scene: Scene) -> Explained | None:
    """F31: a class above sched_ext has every CPU that the task may use."""
    if not scene.cpus or any(cpu.kind not in REALTIME or cpu.comm in OWN_REALTIME for cpu in scene.cpus):
        return None
    cpu = scene.cpus[0]
    return Explained(words.BEHIND_RT, f"{waits(scene.stuck)}, while {cpu.comm}[{cpu.pid}] has CPU {cpu.number} in"
                     " real time")  # fmt: skip


def slice_without_end(scene: Scene) -> Explained | None:
    """F19: what is left of the slice of whoever runs is as long as the wait."""
    running = scene.running
    if not running or any(task.slice_ns < scene.stuck.waited_ms * 1_000_000 for task in running):
        return None
    task = running[0]
    left = "never ends" if task.slice_ns == ENDLESS_SLICE else f"has {task.slice_ns / 1e9:.1f} s left"
    return Explained(words.ENDLESS, f"{waits(scene.stuck)}, while CPU {task.cpu} runs {task.name}, whose slice {left}")


def bound_go_first(scene: Scene) -> Explained | None:
    """F43: every CPU runs a task that is bound to it, and nobody who is bound waits in the stuck one's queue."""
    running = scene.running
    if not running or scene.stuck.dsq in (None, LOCAL_DSQ) or scene.stuck.bound or not all(t.bound for t in running):
        return None
    if any(task.bound for task in scene.beside):
        return None
    waiting = [task for task in scene.dump.waiting if task.bound and scene.is_young(task)]
    queues = [task.dsq for task in waiting if task.dsq not in (None, scene.stuck.dsq)]
    local = LOCAL_DSQ in queues
    if not local and behind_in_vtime(scene):
        return None
    cause, how = words.LOCAL_FIRST, "that are inserted into the local queue of their CPU"
    if not local:
        cause, how = words.BOUND_FIRST, "that are bound to their CPU and go first"
        how += f", in {queue_in_words(queues[0])}" if queues else ""
    task, left = running[0], f"{running[0].slice_ns / 1e6:.1f} ms left"
    who = f"CPU {task.cpu} runs {task.name}, whose slices end ({left})"
    why = f"starved by tasks {how}: {waits(scene.stuck)}, while {who}"
    return Explained(cause, why, "evidence" if local else "guess")


def behind_in_vtime(scene: Scene) -> Explained | None:
    """F14, F15, F18: in a queue ordered by vtime, behind others that came later."""
    stuck = scene.stuck
    before = [task for task in scene.beside if task.vtime < stuck.vtime and task.waited_ms < stuck.waited_ms]
    if not stuck.by_vtime or not before:
        return None
    ahead = max(stuck.vtime - task.vtime for task in before)
    why = (
        f"{waits(stuck)}, behind {len(before)} that came later, since its vtime is up to {ahead / 1e6:.1f} ms after"
        " theirs"
    )
    by_name = {"W7": words.SLEEPERS_FIRST, "W8": words.NEWBORN_FIRST}
    return Explained(by_name.get(scene.place, words.BACKWARDS), why, "guess")


def behind_later_ones(scene: Scene) -> Explained | None:
    """F18: in a queue without vtime, for longer than two rounds of it, while those that came later had turns."""
    stuck, shared = scene.stuck, scene.in_own_queue or scene.stuck.dsq == GLOBAL_DSQ
    young = sum(map(scene.is_young, scene.beside))
    if not shared or stuck.by_vtime or not young or not scene.running:
        return None
    queued = (stuck, *scene.beside)
    round_ns = len(queued) * max(task.slice_ns for task in queued) / len(scene.cpus)
    if stuck.waited_ms * 1_000_000 <= ROUNDS * round_ns:
        return None
    why = f"{waits(stuck)}, while {young} that came to it later had turns before it"
    return Explained(words.LAST_FIRST, why, "guess")


def own_cpu_does_not_look(scene: Scene) -> Explained | None:
    """F13: the one CPU that the task may use was free; who waited as long could run nowhere else.

    At that moment alone, where no CPU had time left: then it is who had it that keeps the task waiting.
    """
    if not scene.in_own_queue or scene.free is None or not scene.stuck.bound or scene.none_idled:
        return None
    if any(not task.bound for task in scene.beside if not scene.is_young(task)):
        return None
    why = f"{waits(scene.stuck)}, bound to CPU {scene.free.number}, which had nothing else to run"
    if by_clocks := _order_is_unknown(scene):
        return Explained(words.PINNED, f"{why}; {by_clocks}", "guess")
    return Explained(words.PINNED, why)


def _order_is_unknown(scene: Scene) -> str:
    """Why a place in an ordered queue does not show that its CPU never looks there: who came from a queue with another
    clock may stand behind all that come. Empty if it does."""
    stuck = scene.stuck
    if not stuck.by_vtime:
        return ""
    others = {task.dsq for task in scene.dump.waiting if task.by_vtime} - {stuck.dsq}
    if others:
        return f"its vtime may be of another clock than its queue's, for there are {len(others) + 1} queues by vtime"
    if any(task.vtime < stuck.vtime and scene.is_young(task) for task in scene.beside):
        return "those before it in vtime came later, so its CPU may look there"
    return ""


def nobody_looks(scene: Scene) -> Explained | None:
    """F03: a CPU that the task may use had nothing to do, and does not look into its queue.

    Where somebody beside it had a turn since, there is one that looks, and the free one is between two turns.
    """
    between_turns = any(map(scene.is_young, scene.beside)) or (scene.stuck.bound and scene.none_idled)
    if not scene.in_own_queue or scene.free is None or between_turns:
        return None
    more = f" beside {len(scene.beside)} more" if scene.beside else ""
    return Explained(
        words.NOT_EMPTIED, f"{waits(scene.stuck)}{more}, while CPU {scene.free.number} had nothing else to run"
    )


def heads_go_first(scene: Scene) -> Explained | None:
    """F18: in a queue without vtime into whose head the policy may insert."""
    stuck = scene.stuck
    queues = scene.proven.at_head
    if stuck.by_vtime or not (stuck.dsq in queues or (scene.in_own_queue and SOME_QUEUE in queues)):
        return None
    why = f"{waits(stuck)}, and whoever is inserted at the head of that queue goes before it"
    return Explained(words.LAST_FIRST, why, "guess")


def last_go_first(scene: Scene) -> Explained | None:
    """F18: in a queue from which the policy takes the last first, while those beside it have their turns."""
    stuck, queues = scene.stuck, scene.proven.backwards
    if not (stuck.dsq in queues or (scene.in_own_queue and SOME_QUEUE in queues)):
        return None
    if not any(task.waited_ms < stuck.waited_ms for task in scene.beside):
        return None
    why = f"{waits(stuck)}, and dispatch takes from the end of that queue: whoever came later goes before it"
    return Explained(words.LAST_FIRST, why, "guess")


def another_queue_first(scene: Scene) -> Explained | None:
    """F03: all in its queue wait as long as it does, and those of another queue had their turn."""
    if not scene.in_own_queue or scene.free is not None or any(map(scene.is_young, scene.beside)):
        return None
    served = next((t for t in scene.dump.waiting if t.dsq not in (None, scene.stuck.dsq) and scene.is_young(t)), None)
    if served is None:
        return None
    why = f"{waits(scene.stuck)}, while those in {queue_in_words(served.dsq)} have their turns"
    return Explained(words.NOT_EMPTIED, why, "guess")


# The order matters: what is said of the task itself, of who runs, then of its queue.
RULES: tuple[Callable[[Scene], Explained | None], ...] = (
    global_goes_first, in_no_queue, behind_realtime, slice_without_end, own_cpu_does_not_look, nobody_looks,
    bound_go_first, behind_in_vtime, heads_go_first, last_go_first, another_queue_first, behind_later_ones,
)  # fmt: skip

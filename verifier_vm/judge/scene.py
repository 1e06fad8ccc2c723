# SPDX-License-Identifier: Apache-2.0
"""A task that was not run, and the moment: what the rules of cause.py look at, and what they find."""

from __future__ import annotations

from dataclasses import dataclass

from policy_lake.model import Basis
from verifier_vm.judge.dump import BUILT_IN, LOCAL_DSQ, Cpu, Dump, Task
from verifier_vm.judge.kernel_words import Cause
from verifier_vm.object.proven import NOTHING, Proven

YOUNG = 0.25  # of what the stuck one waited: who waits no longer than that had his turn since


@dataclass(frozen=True, slots=True)
class Explained:
    """A cause, and in one clause what shows it."""

    cause: Cause
    why: str
    basis: Basis = "evidence"


@dataclass(frozen=True, slots=True)
class Scene:
    """The stuck task, the moment, the ops' flags, the exercise's workloads ("W1+W6"), whether its threads had all of
    the CPU time until then, and what the object is proven not to do.
    """

    stuck: Task
    dump: Dump
    flags: int = 0
    place: str = ""
    none_idled: bool = False
    proven: Proven = NOTHING

    @property
    def cpus(self) -> tuple[Cpu, ...]:
        """The CPUs that could have run it: in a local queue its own alone."""
        return tuple(
            cpu for cpu in self.dump.cpus
            if (cpu.number == self.stuck.cpu if self.stuck.dsq == LOCAL_DSQ else self.stuck.may_use(cpu.number))
        )  # fmt: skip

    @property
    def free(self) -> Cpu | None:
        """One of them that had nothing to do."""
        return next((cpu for cpu in self.cpus if self.dump.is_free(cpu) and self.next_on(cpu) is None), None)

    def next_on(self, cpu: Cpu) -> Task | None:
        """Who is bound to a CPU and waits for no longer than a turn in another queue: the CPU is between two turns."""
        return next(
            (task for task in self.dump.waiting if task.bound and task.may_use(cpu.number)
             and task.dsq != self.stuck.dsq and self.is_young(task)), None,
        )  # fmt: skip

    @property
    def beside(self) -> tuple[Task, ...]:
        """Who else waits in its queue."""
        return tuple(task for task in self.dump.waiting if task.dsq == self.stuck.dsq and task is not self.stuck)

    def is_young(self, task: Task) -> bool:
        return task.waited_ms <= YOUNG * self.stuck.waited_ms

    @property
    def running(self) -> tuple[Task, ...]:
        """Who has the CPUs that it may use, or has them next; nobody where one of them runs no task of the policy."""
        current = [self.next_on(cpu) if self.dump.is_free(cpu) else cpu.current for cpu in self.cpus]
        running = tuple(task for task in current if task is not None)
        return running if len(running) == len(self.cpus) else ()

    @property
    def in_own_queue(self) -> bool:
        """Whether it is in a queue that the policy made: those that are built in the kernel empties itself."""
        return self.stuck.dsq is not None and self.stuck.dsq < BUILT_IN

# SPDX-License-Identifier: Apache-2.0
"""What kind of thing a finding is: what code decides by, so that the words of a reason are for people alone."""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """The kinds of findings and rejections; `bug` says which mistake is behind one, where that is known."""

    STATIC = "static"  # a mistake in the source or the object: `bug` says which
    NO_HEADER = "no_header"  # the compiler did not find one: whoever gave the source knows where it lies
    UNEXPLAINED = "unexplained"  # a stage failed without a finding that rejects
    # The stage kernel: what the kernel would not have.
    DAMAGED_OBJECT = "damaged_object"
    LOAD_TIMEOUT = "load_timeout"
    REFUSED_BY_VERIFIER = "refused_by_verifier"
    REFUSED_ON_ATTACH = "refused_on_attach"
    NO_MEMORY = "no_memory"
    # The stage survive: what is wrong by itself.
    KERNEL_DEATH = "kernel_death"
    KERNEL_WARNING = "kernel_warning"
    LOCKUP = "lockup"
    STALL = "stall"
    EXIT_ERROR = "exit_error"
    FELL_OFF = "fell_off"
    NO_PROGRESS = "no_progress"
    HUNG = "hung"
    WORKLOAD_FAILED = "workload_failed"
    FORK_FAILED = "fork_failed"
    CGROUP_FAILED = "cgroup_failed"
    HOTPLUG_FAILED = "hotplug_failed"
    ENDED_BY_HOTPLUG = "ended_by_hotplug"  # tidily, as the kernel says it will
    NEVER_RAN = "never_ran"
    WRONG_CPU = "wrong_cpu"
    FOREIGN_INSERT = "foreign_insert"
    NO_SLICE = "no_slice"  # in records of before: nothing says so any more
    LOAD_BESIDE = "load_beside"
    NOT_DETACHED = "not_detached"
    NO_EXIT_RECORD = "no_exit_record"
    # The stage fair: what EEVDF does better with the same work.
    SHARE = "share"
    IDLE_CPU = "idle_cpu"
    OVERHEAD = "overhead"
    LATENCY = "latency"
    YIELD = "yield"
    NICE = "nice"
    CGROUP_SHARE = "cgroup_share"
    PARTIAL = "partial"
    # The stage score.
    GUARD = "guard"

    @property
    def time_bound(self) -> bool:
        """Whether a host that is too busy to run the guest's CPUs could have caused it."""
        return self in _TIME_BOUND


_TIME_BOUND = frozenset(
    {
        Code.LOCKUP, Code.STALL, Code.NO_PROGRESS, Code.HUNG, Code.NEVER_RAN,
        Code.SHARE, Code.IDLE_CPU, Code.OVERHEAD, Code.LATENCY, Code.YIELD, Code.NICE, Code.CGROUP_SHARE,
    }
)  # fmt: skip

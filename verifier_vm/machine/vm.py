# SPDX-License-Identifier: Apache-2.0
"""One call: `run` starts a guest, gives it a job, and returns what it reported."""

from __future__ import annotations

import time
from collections.abc import Sequence

from policy_lake.errors import EndedVMError, InputError, LostVMError
from policy_lake.guest import GuestJob, GuestReport
from policy_lake.show import logger
from verifier_vm.machine.process import GuestProcess
from verifier_vm.machine.qemu import Machine
from verifier_vm.machine.said import OnEvent
from verifier_vm.machine.snapshot import origin_of

BOOT_ALLOWANCE_S = 60.0
BOOT_ATTEMPTS = 2  # a boot under TCG on a busy host was seen to hang before init; the job has not begun by then
log = logger(__name__)


def run(
    job: GuestJob,
    machine: Machine,
    *,
    warm_ups: Sequence[GuestJob] = (),
    deadline_s: float | None = None,
    on_event: OnEvent | None = None,
    boots: int = BOOT_ATTEMPTS,
) -> GuestReport:
    """Start `machine`, do `job`, return its events; `on_event` sees each as it arrives.

    It starts from a snapshot where the machine keeps them (the first run takes it), else by booting; with `warm_ups`,
    jobs that `stay`, from a snapshot of a guest that has done those (InputError where none are kept), whose steps then
    come first in the report. `deadline_s` is wall time for everything, by default the steps' limits and a minute; by
    the virtual clock up to four times that while the guest is slow and not hung.
    Raises LostVMError with the console's end when the guest dies or hangs, WarmUpError when a warm-up's step fails,
    InfraError when it talks nonsense, QEMU cannot start, or its virtual clock gave up.
    """
    if warm_ups and machine.snapshots is None:
        raise InputError("a warm-up apart from the job needs a machine that keeps snapshots")
    if deadline_s is None:
        deadline_s = BOOT_ALLOWANCE_S + sum(step.timeout_s + 25 for step in job.steps)
    for attempt in range(1, boots + 1):
        origin = origin_of(machine, warm_ups)  # outside the deadline: taking one is not this job's work
        deadline = time.monotonic() + deadline_s
        with GuestProcess(machine, job, origin) as guest:
            try:
                return guest.finish(deadline, on_event)
            except EndedVMError:
                raise
            except LostVMError:
                if guest.said.hello or attempt == boots or time.monotonic() > deadline:
                    raise
                log.warning("a guest did not start and is started again")
    raise AssertionError("the last attempt returns or raises")

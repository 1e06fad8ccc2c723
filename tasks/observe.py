# SPDX-License-Identifier: Apache-2.0
"""Observe: run a workload once under the kernel's own scheduler and say what it does."""

from __future__ import annotations

import logging

from benchmarks.profile import profile_job, read_profile
from benchmarks.workloads import Workload
from policy_lake.model import WorkloadProfile
from tasks.host.guest import Shape, prepare_guest
from tasks.host.settings import Settings
from tasks.host.spans import Span, spanned
from verifier_vm.machine import vm

log = logging.getLogger(__name__)


def observe(workload: Workload, settings: Settings, shape: Shape, *, seed: int) -> tuple[WorkloadProfile, Span]:
    """The workload's profile, and when its guest ran. InfraError if the guest fails, InputError if the workload."""
    guest = prepare_guest(settings, shape)
    job = profile_job(workload, seed=seed, accel=guest.machine.accel)
    report, span = spanned(lambda: vm.run(job, guest.machine, deadline_s=settings.guest_deadline_s))
    profile = read_profile(workload, report)
    log.info("observe: %s", profile.text)
    return profile, span

# SPDX-License-Identifier: Apache-2.0
"""Observe: run a workload once under the kernel's own scheduler and say what it does."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from benchmarks.profile import aim_of, profile_job, read_profile
from benchmarks.profile_lines import profile_lines
from benchmarks.remarks import recorded_ms, remarks
from benchmarks.workloads import Workload
from policy_lake.doing import doing
from policy_lake.files import locked
from policy_lake.guest import GuestJob
from policy_lake.lake import Lake
from policy_lake.profile import WorkloadProfile
from policy_lake.show import logger
from tasks.host.guest import Guest, Shape, prepare_guest
from tasks.host.settings import Settings
from tasks.host.spans import Span, spanned
from verifier_vm.machine import vm
from verifier_vm.machine.job import encode_job
from verifier_vm.machine.snapshot import snapshot_key

log = logger(__name__)


def observe(
    workload: Workload, settings: Settings, shape: Shape, lake: Lake, *, seed: int, say: bool = True
) -> tuple[WorkloadProfile, list[Span]]:
    """The workload's profile, which the lake keeps, and when its guest ran.

    In virtual time it is a function of guest, workload and seed: one that the lake holds is not computed again, and one
    that somebody else computes just now is waited for. `say` logs what it says. InfraError if the guest fails,
    InputError if the workload does.
    """
    guest = prepare_guest(settings, shape)
    job = profile_job(workload, seed=seed, accel=guest.machine.accel, user_ps=guest.machine.user_ps)
    key = _key(guest, job)
    place = settings.cache_dir / "observations" / (key or "wall")
    place.parent.mkdir(parents=True, exist_ok=True)
    spans: list[Span] = []
    with locked(place, timeout_s=settings.guest_deadline_s):
        known = [profile for profile in lake.profiles(workload.id) if key and profile.inputs == key]
        profile = replace(known[-1], aim=aim_of(workload)) if known else None
        if profile is None:
            doing("observe: %s runs once under EEVDF, event by event", workload.id)
            report, span = spanned(lambda: vm.run(job, guest.machine, deadline_s=settings.guest_deadline_s))
            profile = _compared(workload, replace(read_profile(workload, report), inputs=key))
            lake.put(profile)
            spans.append(span)
    if say:
        for name, text in profile_lines(profile):
            log.info("observe: %s: %s", name, text)
        for remark in remarks(profile):
            log.warning("observe: %s", remark)
    return profile, spans


def _compared(workload: Workload, profile: WorkloadProfile) -> WorkloadProfile:
    """Of a recording's replay, with how long the original took for it."""
    reached = profile.reached
    took_ms = recorded_ms(workload) if reached is not None else None
    return replace(profile, reached=replace(reached, recorded_ms=took_ms)) if reached and took_ms else profile


def _key(guest: Guest, job: GuestJob) -> str:
    """All that the observation is a function of, as a digest; empty by the wall clock, where it is of nothing."""
    machine = guest.machine
    if machine.clock is None:
        return ""
    taken_for = repr(machine.model).encode()
    parts = (snapshot_key(machine).encode(), machine.clock.stem.encode(), taken_for, encode_job(job))
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]

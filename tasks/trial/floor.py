# SPDX-License-Identifier: Apache-2.0
"""The A/A floor: what a workload's metric differs by when nothing does. Measured once for a guest, and kept."""

from __future__ import annotations

import logging

from benchmarks.measurement import measure
from benchmarks.scoring import BASELINE
from benchmarks.statistics import floor_of
from benchmarks.workloads import Workload, descriptor_sha256
from policy_lake.guest import GuestJob
from policy_lake.lake import Lake
from policy_lake.model import Candidate, InfraError, Rejection, Score
from tasks.host.guest import Guest, Shape, prepare_guest
from tasks.host.settings import Settings
from tasks.trial.execute import Order, match_of, score_of
from tasks.trial.measure import Course
from verifier_vm.machine.vm import run

FLOOR_PAIRS = 5
FLOOR_SEED = 900  # seeds that no score of a user's begins with by chance
log = logging.getLogger(__name__)


def floor_for(wanted: Workload, settings: Settings, shape: Shape, lake: Lake) -> float:
    """The ratio by which two equal runs of the workload differ in this guest, from the lake, or measured now and kept.

    It is the further end of the interval of an A/A score, so 1.03 says that 3 % mean nothing. InfraError if the guest
    fails.
    """
    known = known_floor(wanted, settings, shape, lake)
    if known is not None:
        return known
    score = measure_floor(wanted, settings, shape)
    lake.put(score)
    log.info("floor: two equal runs of %s differ by up to %.1f %%", wanted.id, 100 * (floor_of(score.ratio) - 1))
    return floor_of(score.ratio)


def known_floor(wanted: Workload, settings: Settings, shape: Shape, lake: Lake) -> float | None:
    """The floor that the lake holds for this workload in this guest; None if it was not measured yet."""
    guest = prepare_guest(settings, shape)
    known = [score for score in lake.scores(wanted.id, policy=BASELINE) if _fits(score, wanted, guest)]
    return floor_of(known[-1].ratio) if known else None


def measure_floor(
    wanted: Workload, settings: Settings, shape: Shape, *, pairs: int = FLOOR_PAIRS, seed: int = FLOOR_SEED
) -> Score:
    """An A/A score: EEVDF against itself, in the same order and with the same proof as any other score."""
    guest = prepare_guest(settings, shape)
    nobody = Candidate("", "", 0, BASELINE, "", {}, "A/A", "none")
    order = Order(nobody, wanted, pairs, seed, shape)
    match = match_of(order, None, guest)
    job = GuestJob(match.files(), match.steps(guest.machine), seed)
    report = run(job, guest.machine, deadline_s=settings.trial_deadline_s)
    course = Course()
    measured = measure(wanted, report.events, match.rounds())
    if isinstance(measured, Rejection):  # nothing was attached, so nobody is to blame
        raise InfraError(f"an A/A run of {wanted.id} failed: {measured.reason}")
    course.add(measured)
    return score_of(order, course, report, "", guest.machine)


def _fits(score: Score, wanted: Workload, guest: Guest) -> bool:
    """Whether a score was taken of the same work in the same kind of guest."""
    machine = guest.machine
    here = (machine.clock_name, str(machine.topology), machine.accel, wanted.tier, guest.kernel.release)
    there = (score.clock, score.topology, score.accel, score.tier, score.kernel)
    return here == there and score.versions.get("workload_sha256") == descriptor_sha256(wanted)

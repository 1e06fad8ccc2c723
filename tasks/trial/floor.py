# SPDX-License-Identifier: Apache-2.0
"""What equal runs of a workload differ by, where the wall clock counts: measured once in each kind of guest, and kept.

In virtual time equal runs are equal, and a trial measures its own floor: the same work in guests of another seed.
"""

from __future__ import annotations

from benchmarks.scoring import BASELINE
from benchmarks.statistics import floor_of
from benchmarks.workloads import Workload, descriptor_sha256
from policy_lake.errors import InfraError
from policy_lake.lake import Lake
from policy_lake.model import Candidate, Rejection
from policy_lake.scores import MeasurementPlan, Score
from policy_lake.show import logger
from tasks.host.guest import Guest, Shape, prepare_guest
from tasks.host.settings import Settings
from tasks.trial.local import run_here
from tasks.trial.spec import TrialSpec
from tasks.trial.trial import measured, score_of

FLOOR_PAIRS = 5
FLOOR_SEED = 900  # seeds that no score of a user's begins with by chance
log = logger(__name__)


def floor_for(workload: Workload, settings: Settings, shape: Shape, lake: Lake) -> float | None:
    """The ratio by which two equal runs differ by the wall clock, from the lake, or measured now and kept.

    It is the further end of the interval of an A/A score, so 1.03 says that 3 % mean nothing. None in virtual time.
    InfraError if the guest fails.
    """
    guest = prepare_guest(settings, shape)
    if guest.machine.clock is not None:
        return None
    known = [score for score in lake.scores(workload.id, policy=BASELINE) if _fits(score, workload, guest)]
    if known:
        return floor_of(known[-1].ratio)
    score = measure_floor(workload, settings, shape, lake)
    lake.put(score)
    log.info("floor: two equal runs of %s differ by up to %.1f %%", workload.id, 100 * (floor_of(score.ratio) - 1))
    return floor_of(score.ratio)


def measure_floor(
    workload: Workload, settings: Settings, shape: Shape, lake: Lake, *, pairs: int = FLOOR_PAIRS,
    seed: int = FLOOR_SEED,
) -> Score:  # fmt: skip
    """An A/A score: EEVDF against itself, in the same order and with the same proof as any other score."""
    guest = prepare_guest(settings, shape)
    baseline = Candidate("", "", 0, BASELINE, "", {}, "A/A", "none")
    spec = TrialSpec(baseline, workload, shape, settings, MeasurementPlan(pairs, 0, seed))
    what = f"what equal runs of {workload.id} differ by, once for this kind of guest"
    course = run_here(measured(spec, None, None, guest), spec, lake, what=what)
    if isinstance(course, Rejection):  # nothing was attached, so no policy is to blame
        raise InfraError(f"an A/A run of {workload.id} failed: {course.reason}")
    return score_of(spec, course, None, guest)


def _fits(score: Score, workload: Workload, guest: Guest) -> bool:
    """Whether a score is an A/A one, which has no candidate, of the same work in the same kind of guest.

    The library's policy `eevdf` has scores of the same name.
    """
    machine = guest.machine
    here = (machine.clock_name, str(machine.topology), machine.accel, workload.tier, guest.kernel.release)
    there = (score.clock, score.topology, score.accel, score.tier, score.kernel)
    same = score.provenance is not None and score.provenance.workload_sha256 == descriptor_sha256(workload)
    return here == there and same and not score.candidate

# SPDX-License-Identifier: Apache-2.0
"""Score: one policy on one workload, outside any run; the way to repeat a figure or to try one's own policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.workloads import Workload
from bpf.library import policies, policy, read_policy
from policy_lake.doing import doing
from policy_lake.errors import InputError
from policy_lake.lake import Lake
from policy_lake.limits import PAIRS, SEED, check_pairs
from policy_lake.model import Candidate, Policy
from policy_lake.ranking import best
from policy_lake.scores import MeasurementPlan, Sensitivity
from tasks.host.guest import prepare_guest, shape_for
from tasks.host.settings import Settings
from tasks.host.workloads import find_workload
from tasks.plan import candidate_of
from tasks.sensitivity import check_sensible, sensitivity
from tasks.trial.floor import floor_for
from tasks.trial.given import Given, read_given
from tasks.trial.kept import keep_object
from tasks.trial.local import run_here
from tasks.trial.parts import read_source
from tasks.trial.pictures import Pictures, check_directory, draw
from tasks.trial.spec import Loadable, Trial, TrialSpec
from tasks.trial.traced import trace_runs
from tasks.trial.trial import trial

FILES = (".bpf.c", ".bpf.o")
AGAINST_ITSELF = "the second control is the policy itself with the same knobs: what it differs by is noise"


def find_policy(name: str) -> Policy:
    """The library's policy of that id, or the one in the file `name` if that is a .bpf.c."""
    if name.endswith(".bpf.c"):
        path = Path(name)
        return read_policy(read_source(path), path.name.removesuffix(".bpf.c"), "user")
    return policy(name)


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """What a user wants measured: policy and workload by name or file, and how much of it.

    `most_pairs` above `pairs` allows more rounds where they are worth it. `knobs`, `sets`, `linked` and `include_dirs`
    are those of `read_given`. `control` is a second policy in the same rounds, or `best` for the library's best so
    far. `directory` is where pictures go, if any are wanted. `sensitivity` measures it again with each cost of the
    machine halved and doubled. InputError for numbers beyond their limits.
    """

    policy: str
    workload: str
    pairs: int = PAIRS.preset
    most_pairs: int = 0
    seed: int = SEED.preset
    knobs: Mapping[str, object] = field(default_factory=dict)
    control: str = ""
    directory: Path | None = None
    perfetto: bool = False
    sets: Mapping[str, object] = field(default_factory=dict)
    linked: tuple[Path, ...] = ()
    include_dirs: tuple[Path, ...] = ()
    sensitivity: bool = False

    def __post_init__(self) -> None:
        check_pairs(self.pairs, self.most_pairs)
        SEED.check(self.seed)


@dataclass(frozen=True, slots=True)
class Scored:
    """What became of a request: the trial, and what was asked for beside its score."""

    workload: Workload
    trial: Trial
    pictures: Pictures | None = None
    sensitivity: Sensitivity | None = None


def score(request: ScoreRequest, settings: Settings, lake: Lake) -> Scored:
    """Build, verify and measure a policy; its score goes into the lake, so that it can be taken again by its id.

    A rejection is a value in the trial. InputError for an unknown policy, workload or knob; InfraError when nothing
    can be said.
    """
    workload, given = find_workload(request.workload, settings), _given(request)
    control = find_control(request.control, workload, lake)
    if request.directory:  # before the minutes of measuring
        check_directory(request.directory)
    shape = shape_for(settings, workload)
    if request.sensitivity:
        check_sensible(shape.costs)
    checked = given.check(prepare_guest(settings, shape).kernel)
    spec = TrialSpec(
        candidate=given.candidate(checked.made.data if checked.made else b""),
        workload=workload,
        shape=shape,
        settings=settings,
        plan=MeasurementPlan(request.pairs, request.most_pairs, request.seed),
        control=control,
        floor=floor_for(workload, settings, shape, lake) if checked.ok else None,
        known_suffices=True,
        checked=checked,
        files=given.files,
    )
    what = f"{spec.candidate.policy} on {workload.id}, at least {request.pairs} pairs"
    result = run_here(trial(spec), spec, lake, what=what)
    if spec.control is not None and spec.control.id == spec.candidate.id:
        result = replace(result, warning=". ".join(part for part in (result.warning, AGAINST_ITSELF) if part))
    if result.score is None:
        return Scored(workload, result)
    if given.files:  # before the score: one in the lake promises that it can be taken again
        keep_object(result.object_data, settings)
    lake.put(*[candidate for candidate in (spec.candidate, spec.control) if candidate], result.score)
    policy = Loadable(result.object_data, result.arguments, spec.candidate.policy)
    return Scored(
        workload,
        result,
        _pictures(request, spec, result, policy) if request.directory else None,
        sensitivity(spec, policy, result.score, lake) if request.sensitivity else None,
    )


def _given(request: ScoreRequest) -> Given:
    """What is to be measured, as `verify` takes it; a name that is no file's is a policy of the library."""
    name = request.policy
    return read_given(
        Path(name) if name.endswith(FILES) else policy(name), linked=request.linked,
        include_dirs=request.include_dirs, knobs=request.knobs, sets=request.sets,
    )  # fmt: skip


def find_control(name: str, wanted: Workload, lake: Lake) -> Candidate | None:
    """The second control: a policy by name, or `best`: of the library as it is, what scored best on this workload."""
    if name != "best":
        return candidate_of(find_policy(name), {}) if name else None
    stock = {policy.id: policy for policy in policies()}
    known = [score for score in lake.scores(wanted.id) if score.policy in stock and not score.knob_values]
    leader = best(known)
    if leader is None:
        raise InputError(f"--control best: no stock policy was scored on '{wanted.id}' yet; name one, such as vtime")
    return candidate_of(stock[leader.policy], {})


def _pictures(request: ScoreRequest, spec: TrialSpec, result: Trial, policy: Loadable) -> Pictures:
    assert request.directory is not None and result.score is not None
    doing("pictures: %s and EEVDF once more, event by event", spec.candidate.policy)
    timelines = trace_runs(spec.workload, policy, spec.shape, spec.settings, seed=spec.plan.seed)
    return draw(request.directory, [result.score], timelines, perfetto=request.perfetto)

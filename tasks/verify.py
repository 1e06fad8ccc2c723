# SPDX-License-Identifier: Apache-2.0
"""Verify: one .bpf.c from anybody through every stage, with a token when nothing speaks against it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import get_args

from policy_lake.coverage import shortened
from policy_lake.doing import doing
from policy_lake.errors import InfraError, InputError
from policy_lake.events import Event, Hello, Ran
from policy_lake.limits import PAIRS, SEED, most_pairs
from policy_lake.model import Clock, Verdict
from policy_lake.scores import MeasurementPlan, Score
from policy_lake.topology import Topology
from tasks.host.cpus import topologies_for
from tasks.host.guest import Guest, Shape, check_topologies, prepare_guest, shape_for, shape_of
from tasks.host.lake import open_lake
from tasks.host.settings import Settings
from tasks.host.workloads import find_workload
from tasks.minimize import IN_A_SITUATION, Smallest, case_that_shows, minimize
from tasks.trial.alone import Alone, meet_again
from tasks.trial.drive import RunStore
from tasks.trial.failure import draw_failure, trace_failure
from tasks.trial.full import verify_full_tier
from tasks.trial.given import read_given
from tasks.trial.local import run_here
from tasks.trial.pictures import Pictures, check_directory
from tasks.trial.spec import Loadable, TrialSpec
from tasks.trial.static import Checked, OnStage
from tasks.trial.trial import scored
from tasks.trial.trusted import trusted_object
from verifier_vm.coverage.reach import with_cpus
from verifier_vm.judge.case import Case, parse_case
from verifier_vm.judge.gate import OnPart, verify_object
from verifier_vm.judge.suite import SuiteTier
from verifier_vm.verdict import REQUIREMENTS, bugs_of, require, verdict_of

OnDone = Callable[[str, bool], None]
MANY_CPUS = 16  # from which on a guest takes longer than a minute
S_PER_SQUARE = 0.03  # of the number of CPUs: with 64 a short guest took 150 s on two cores, the first time


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """Which tier a policy is verified in, whether on after a rejection, what the hosts need (keys of REQUIREMENTS).

    `only`: that situation alone, which is no verdict to sign. `minimize`: make the situation of a failure small.
    `plots`: a directory for pictures of it. `here`: the full tier without Ray.
    """

    tier: SuiteTier = "short"
    check_all: bool = False
    require: tuple[str, ...] = ()
    only: Case | None = None
    minimize: bool = False
    plots: Path | None = None
    here: bool = False

    def __post_init__(self) -> None:
        if self.tier not in get_args(SuiteTier):
            raise InputError(f"--tier {self.tier}: not one of {', '.join(get_args(SuiteTier))}")
        for word in self.require:
            if word not in REQUIREMENTS:
                raise InputError(f"--require {word[:80]}: not one of {', '.join(REQUIREMENTS)}")


@dataclass(frozen=True, slots=True)
class Verified:
    """A verdict, and the object it is about (empty when it did not compile) with the loader's arguments.

    `machine`: what the guests' CPUs were taken for, where that costs something. `tier`: empty for one situation alone.
    """

    verdict: Verdict
    source: str
    object_data: bytes
    arguments: tuple[str, ...] = ()
    clock: Clock = "wall"
    warning: str = ""
    smallest: Smallest | None = None
    pictures: Pictures = field(default_factory=lambda: Pictures({}))
    machine: str = ""
    tier: str = ""
    score: Score | None = None
    btf_sha256: str = ""


def verify(
    path: Path,
    settings: Settings,
    *,
    include_dirs: Sequence[Path] = (),
    knobs: Mapping[str, object] | None = None,
    sets: Mapping[str, object] | None = None,
    linked: Sequence[Path] = (),
    options: VerifyOptions | None = None,
    workload: str = "",
    plan: MeasurementPlan | None = None,
    floor: float | None = None,
    store: RunStore | None = None,
    on_stage: OnStage = lambda _: None,
    on_done: OnDone = lambda name, ok: None,
) -> Verified:
    """Take the policy at `path` through source, build, object, and a guest's kernel, survive and fair.

    `path`, `linked`, `include_dirs`, `knobs` and `sets` are those of `read_given`. `on_stage` hears what begins, and
    `on_done` what has ended (a stage, or a guest by its name) and whether it passed.

    It stops at the first rejection unless `options` say otherwise. With a workload, what was accepted so far is
    measured on it by `plan` (by the wall clock against `floor`), and its guard rails are the stage `score`; the runs
    are kept in `store`, by default the lake. A policy that fails is a rejected verdict. Raises InputError for a path
    that is no policy or a knob that it has not, InfraError when nothing can be said.
    """
    options = options or VerifyOptions()
    if options.plots:
        check_directory(options.plots)
    check_topologies(settings)
    given = read_given(path, linked=linked, include_dirs=include_dirs, knobs=knobs, sets=sets)
    chosen = find_workload(workload, settings) if workload else None
    shape = shape_for(settings, chosen) if chosen else shape_of(settings)
    guest = prepare_guest(settings, shape)
    checked = given.check(guest.kernel, check_all=options.check_all, on_stage=on_stage)
    verdict = verify_in_guest(checked, guest, shape, settings, options, on_stage, on_done)
    data = checked.made.data if checked.made else b""
    score = None
    if chosen and verdict.accepted:
        on_stage("score")
        pairs = PAIRS.preset  # as in `schedcp score`
        plan = plan or MeasurementPlan(pairs, most_pairs(pairs), SEED.preset)
        spec = TrialSpec(given.candidate(data), chosen, shape, settings, plan, floor=floor)
        stage, score = run_here(
            scored(spec, Loadable(data, checked.arguments, given.policy.id)), spec, store or open_lake(settings),
            what=f"score: {given.policy.id} on {chosen.id}",
        )  # fmt: skip
        verdict = verdict_of(
            [*verdict.stages, stage], ops=verdict.ops, data=data, kernel=verdict.kernel, coverage=verdict.coverage
        )
    smallest = minimize(verdict, checked, shape, settings, options.tier) if options.minimize else None
    pictures, missing = _pictures(verdict, smallest, checked, shape, settings, options)
    warning = "; ".join(text for text in (guest.warning, missing) if text)
    return Verified(
        verdict, given.source, data, checked.arguments, guest.machine.clock_name, warning, smallest, pictures,
        shape.machine, "" if options.only else options.tier, score, guest.kernel.btf_sha256,
    )  # fmt: skip


def _pictures(
    verdict: Verdict, smallest: Smallest | None, checked: Checked, shape: Shape, settings: Settings,
    options: VerifyOptions,
) -> tuple[Pictures, str]:  # fmt: skip
    """Pictures of the situation that shows a failure in a guest, and why there are none if it cannot be traced."""
    failed = verdict.rejection
    if options.plots is None or failed is None or failed.stage not in IN_A_SITUATION:
        return Pictures({}), ""
    case = parse_case(smallest.situation, "minimize") if smallest else options.only
    case = case or case_that_shows(verdict, checked, shape, settings, options.tier)
    if case is None:
        return Pictures({}), "--plots: no situation by itself shows this failure: there is nothing to draw"
    doing("tracing %s", case)
    try:
        traced = trace_failure(case, checked, settings, shape, policy=verdict.ops)
    except InfraError as error:
        return Pictures({}), f"--plots: the failure could not be traced: {error}"
    try:
        return draw_failure(options.plots, case, traced), ""
    except InfraError as error:
        return Pictures({}), f"--plots: not all pictures could be written: {error}"


def verify_in_guest(
    checked: Checked,
    guest: Guest,
    shape: Shape,
    settings: Settings,
    options: VerifyOptions,
    on_stage: OnStage,
    on_done: OnDone = lambda name, ok: None,
) -> Verdict:
    """The whole verdict: the static stages, and a guest's (of that shape) if it may or shall have the object."""
    bugs = bugs_of(options.require) | settings.required_bugs
    stages = [require(stage, bugs) for stage in checked.stages]
    for stage in stages:
        on_done(stage.name, stage.ok)
    sound = all(stage.ok for stage in stages)
    if checked.made is None or not (sound or options.check_all):
        return verdict_of(stages, data=checked.made.data if checked.made else b"")
    on_stage("boot")
    if options.only:
        in_guest = Alone(checked, settings, shape)(options.only)
        stages += [require(stage, bugs) for stage in in_guest.stages]
        coverage = in_guest.coverage and shortened(in_guest.coverage)
        return verdict_of(stages, ops=in_guest.ops, data=checked.made.data, kernel=in_guest.kernel, coverage=coverage)
    topologies = topologies_for(settings, options.tier)
    if options.tier == "full":
        in_guest = verify_full_tier(
            checked.made.data, checked.arguments, settings, shape, check_all=options.check_all,
            cgroups=checked.cgroups, hotplug=checked.hotplug, topologies=topologies,
            here=options.here, on_part=told_of_parts(on_stage, on_done, at_once=True),
        )  # fmt: skip
    else:
        in_guest = verify_object(
            checked.made.data, checked.arguments, guest.machine, check_all=options.check_all, cgroups=checked.cgroups,
            hotplug=checked.hotplug, topologies=topologies,
            trusted=partial(trusted_object, guest.kernel), on_event=lambda event: on_stage(_stage_of(event)),
            on_part=told_of_parts(on_stage, on_done),
        ).verdict  # fmt: skip
    if in_guest.accepted:
        in_guest = meet_again(
            in_guest, checked, settings, shape, open_lake(settings).regressions(in_guest.ops),
            lambda case: on_stage(f"as others once failed: {case}"),
        )  # fmt: skip
    stages += [require(stage, bugs) for stage in in_guest.stages]
    tried = _most_cpus(in_guest, guest)
    known = in_guest.coverage and with_cpus(in_guest.coverage, checked.made.data, checked.arguments, tried)
    coverage = known and shortened(known)
    return verdict_of(stages, ops=in_guest.ops, data=checked.made.data, kernel=in_guest.kernel, coverage=coverage)


def told_of_parts(on_stage: OnStage, on_done: OnDone, *, at_once: bool = False) -> OnPart:
    """What tells of each guest as it ends, and, where guests run one after another, of a large one as it begins."""

    def tell(name: str, topology: Topology, ok: bool | None) -> None:
        if ok is not None:
            on_done(f"guest: {name}", ok)
            if at_once:
                on_stage(f"{name}: {'passed' if ok else 'rejected'}")
        elif topology.cpus >= MANY_CPUS:
            on_stage(f"{name}: {guest_minutes(topology)}")

    return tell


def guest_minutes(topology: Topology) -> str:
    """About how long a large guest takes without KVM, with its first boot on this host."""
    least = max(1, round(topology.cpus**2 * S_PER_SQUARE / 60))
    return f"about {least} to {2 * least} minutes without KVM, of which one half is a boot that is done once"


def _most_cpus(verdict: Verdict, guest: Guest) -> int:
    tried = [topology.cpus for stage in verdict.stages for topology in stage.topologies]
    return max((*tried, guest.machine.topology.cpus))


def _stage_of(event: Event) -> str:
    """What begins when this event has come."""
    if isinstance(event, Hello):
        return "kernel"
    return "fair" if isinstance(event, Ran) and event.role == "baseline" else "survive"

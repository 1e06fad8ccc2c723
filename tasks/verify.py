# SPDX-License-Identifier: Apache-2.0
"""Verify: one .bpf.c from anybody through every stage, with a token when nothing speaks against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from bpf.library import read_policy
from policy_lake.errors import InputError
from policy_lake.events import Event, Hello, Ran
from policy_lake.knobs import knob_words
from policy_lake.limits import PAIRS, SEED, most_pairs
from policy_lake.model import Clock, Verdict
from policy_lake.scores import MeasurementPlan
from tasks.host.guest import Guest, prepare_guest, shape_for, shape_of
from tasks.host.lake import open_lake
from tasks.host.settings import Settings
from tasks.host.workloads import find_workload
from tasks.plan import candidate_of
from tasks.trial.full import verify_full_tier
from tasks.trial.local import run_here
from tasks.trial.spec import Loadable, TrialSpec
from tasks.trial.static import Checked, OnStage, check_statically
from tasks.trial.trial import scored
from verifier_vm.judge.gate import verify_object
from verifier_vm.judge.suite import SuiteTier
from verifier_vm.verdict import REQUIREMENTS, bugs_of, require, verdict_of

SOURCE_LIMIT = 4 << 20


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """Which tier a policy is verified in, whether on after a rejection, what the hosts need (keys of REQUIREMENTS)."""

    tier: SuiteTier = "short"
    check_all: bool = False
    require: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.tier not in get_args(SuiteTier):
            raise InputError(f"--tier {self.tier}: not one of {', '.join(get_args(SuiteTier))}")
        for word in self.require:
            if word not in REQUIREMENTS:
                raise InputError(f"--require {word[:80]}: not one of {', '.join(REQUIREMENTS)}")


@dataclass(frozen=True, slots=True)
class Verified:
    """A verdict, and the object it is about (empty when it did not compile) with the loader's arguments."""

    verdict: Verdict
    source: str
    object_data: bytes
    arguments: tuple[str, ...] = ()
    clock: Clock = "wall"
    warning: str = ""


def read_source(path: Path) -> str:
    """The text of a policy's source file; InputError that names the file when it is not one."""
    if path.suffixes[-2:] != [".bpf", ".c"]:
        raise InputError(f"{path}: not a .bpf.c file")
    try:
        if path.stat().st_size > SOURCE_LIMIT:
            raise InputError(f"{path}: larger than {SOURCE_LIMIT >> 20} MiB")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from error


def verify(
    path: Path,
    settings: Settings,
    *,
    include_dirs: Sequence[Path] = (),
    knobs: Mapping[str, object] | None = None,
    options: VerifyOptions | None = None,
    workload: str = "",
    on_stage: OnStage = lambda _: None,
) -> Verified:
    """Take the policy at `path` through source, build, object, and a guest's kernel, survive and fair.

    It stops at the first rejection unless `options` say otherwise. With a workload, what was accepted so far is
    measured on it, and its guard rails are the stage `score`. A policy that fails is a rejected verdict. Raises
    InputError for a path that is no policy or a knob that it has not, InfraError when nothing can be said.
    """
    options = options or VerifyOptions()
    source = read_source(path)
    for directory in include_dirs:
        if not directory.is_dir():
            raise InputError(f"-I {directory}: no such directory")
    policy = read_policy(source, path.name.removesuffix(".bpf.c"), "user")
    arguments = knob_words(policy, knobs or {})
    chosen = find_workload(workload, settings) if workload else None
    shape = shape_for(settings, chosen) if chosen else shape_of(settings)
    guest = prepare_guest(settings, shape)
    checked = check_statically(
        source, name=path.name, kernel=guest.kernel, arguments=arguments, include_dirs=include_dirs,
        source_dir=path.parent, check_all=options.check_all, on_stage=on_stage,
    )  # fmt: skip
    verdict = verify_in_guest(checked, guest, settings, arguments, options, on_stage)
    data = checked.made.data if checked.made else b""
    if chosen and verdict.accepted:
        on_stage("score")
        pairs = PAIRS.preset  # as in `schedcp score`
        plan = MeasurementPlan(pairs, most_pairs(pairs), SEED.preset)
        spec = TrialSpec(candidate_of(policy, knobs or {}), chosen, shape, settings, plan)
        stage, _ = run_here(scored(spec, Loadable(data, arguments, policy.id)), spec, open_lake(settings))
        verdict = verdict_of([*verdict.stages, stage], ops=verdict.ops, data=data, kernel=verdict.kernel)
    return Verified(verdict, source, data, arguments, guest.machine.clock_name, guest.warning)


def verify_in_guest(
    checked: Checked,
    guest: Guest,
    settings: Settings,
    arguments: tuple[str, ...],
    options: VerifyOptions,
    on_stage: OnStage,
) -> Verdict:
    """The whole verdict: the static stages, and a guest's if it may or shall have the object."""
    bugs = bugs_of(options.require) | settings.required_bugs
    stages = [require(stage, bugs) for stage in checked.stages]
    sound = all(stage.ok for stage in stages)
    if checked.made is None or not (sound or options.check_all):
        return verdict_of(stages, data=checked.made.data if checked.made else b"")
    on_stage("boot")
    if options.tier == "full":
        in_guest = verify_full_tier(
            checked.made.data, arguments, settings, check_all=options.check_all, cgroups=checked.cgroups,
            hotplug=checked.hotplug, on_part=lambda name, ok: on_stage(f"{name}: {'passed' if ok else 'rejected'}"),
        )  # fmt: skip
    else:
        in_guest = verify_object(
            checked.made.data, arguments, guest.machine, check_all=options.check_all, cgroups=checked.cgroups,
            hotplug=checked.hotplug, on_event=lambda event: on_stage(_stage_of(event)),
        ).verdict  # fmt: skip
    stages += [require(stage, bugs) for stage in in_guest.stages]
    return verdict_of(stages, ops=in_guest.ops, data=checked.made.data, kernel=in_guest.kernel)


def _stage_of(event: Event) -> str:
    """What begins when this event has come."""
    if isinstance(event, Hello):
        return "kernel"
    return "fair" if isinstance(event, Ran) and event.role == "baseline" else "survive"

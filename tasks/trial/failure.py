# SPDX-License-Identifier: Apache-2.0
"""A situation in which a policy failed, once more under it and under EEVDF, traced and drawn: who ran, who waited."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.scoring import BASELINE
from benchmarks.timeline import PROGRAM as TRACER
from benchmarks.timeline import Timeline, read_timeline
from policy_lake.errors import InfraError
from policy_lake.guest import GuestJob, GuestStep
from policy_lake.knobs import OPS_TIMEOUT, word
from tasks.host.guest import Shape, prepare_guest, shape_on
from tasks.host.settings import Settings
from tasks.trial.pictures import Form, Pictures, write_pictures
from tasks.trial.static import Checked
from tasks.trial.traced import beside_baseline
from verifier_vm.judge.case import Case
from verifier_vm.judge.gate import STALL_LIMITS_MS, after_ready
from verifier_vm.judge.part import ATTACH, OBJECT
from verifier_vm.machine.vm import run

LABEL = "traced"


def trace_failure(
    case: Case, checked: Checked, settings: Settings, shape: Shape, *, policy: str
) -> dict[str, Timeline]:
    """The timelines by EEVDF's name and the `policy`'s; InfraError or LostVMError if one of the guests tells none."""
    assert checked.made
    attach = GuestStep("attach", (OBJECT, *checked.arguments, word(OPS_TIMEOUT, STALL_LIMITS_MS[0])), ATTACH)
    return {
        BASELINE: _traced(case, settings, shape, {}, (), where=BASELINE),
        beside_baseline(policy): _traced(case, settings, shape, {OBJECT: checked.made.data}, (attach,), where=policy),
    }


def _traced(
    case: Case, settings: Settings, shape: Shape, files: dict[str, bytes], attach: tuple[GuestStep, ...], *, where: str
) -> Timeline:
    guest = prepare_guest(settings, shape_on(shape, case.topology))
    step = case.exercise.step("policy", STALL_LIMITS_MS[0])
    traced = replace(step, args=(TRACER, *step.args), label=LABEL)
    before, steps = after_ready(case.part, guest.machine, (*attach, traced))
    report = run(
        GuestJob(files, steps, case.seed), guest.machine, warm_ups=before, deadline_s=settings.trial_deadline_s
    )
    told = report.ran(LABEL)
    if not told.ok and not told.out:
        raise InfraError(f"{where}: the process that traces it was itself never let run")
    return read_timeline(told.out, where=where)


def draw_failure(directory: Path, case: Case, timelines: dict[str, Timeline]) -> Pictures:
    """Write who ran where (`timeline`) and who waited how long (`tasks`) as PNG and SVG, each whole or not at all."""
    from benchmarks import plots  # a second of matplotlib that only who wants pictures pays

    def drawn(form: Form) -> Iterator[tuple[str, bytes]]:
        yield "timeline", plots.draw_timelines(timelines, title=f"{case}: who ran where", form=form)
        yield "tasks", plots.draw_states(timelines, title=f"{case}: who waited longest", form=form)

    return Pictures(write_pictures(directory, drawn))

# SPDX-License-Identifier: Apache-2.0
"""`schedcp verify`: one policy from anybody through every stage, and a token when nothing speaks against it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from control_plane import results
from control_plane.again import command_for, hint
from control_plane.coverage import MOST_NOT_TRIED, annotated, coverage_line, not_tried, read_source
from control_plane.coverage_page import coverage_page
from control_plane.output import err, escape, out, print_json, working
from control_plane.results import NoToken, VerifyResult, extended
from control_plane.shown_verdict import show_verdict
from control_plane.so_far import SoFar, told_if_interrupted
from policy_lake.coverage import Coverage, shortfall
from policy_lake.errors import SchedcpError
from policy_lake.files import atomic_write
from policy_lake.knobs import parse_knob_values
from policy_lake.limits import LOG_CHARACTERS, PAIRS, most_pairs
from policy_lake.model import Verdict
from policy_lake.show import shortened
from tasks.host.settings import Settings
from tasks.trial.kept import object_path
from tasks.trial.static import OnStage
from tasks.verify import OnDone, Verified, VerifyOptions, verify
from verifier_vm.verdict import rejection_of

ACCEPTED, REJECTED, NOT_SIGNED = 0, 3, 4
DOING = {
    "source": "reading the source",
    "build": "compiling",
    "object": "analysing the object",
    "boot": "starting a guest",
    "kernel": "loading it through the guest kernel's BPF verifier",
    "survive": "attached: the adversarial suite",
    "fair": "the same under EEVDF, for comparison",
}


def verify_command(
    file: Path,
    settings: Settings,
    include: Sequence[Path],
    knobs: Sequence[str],
    options: VerifyOptions,
    workload: str,
    *,
    sets: Mapping[str, str],
    linked: Sequence[Path],
    sources: bool,
    as_json: bool,
) -> int:
    """Verify `file`, print the verdict (with `sources`, the source and what was executed of it), return the status."""
    so_far = SoFar(now="preparing the guest")
    with told_if_interrupted(so_far, err() if as_json else out()), working(so_far.now) as say:

        def begins(stage: str) -> None:
            so_far.now = DOING.get(stage, stage)
            say(so_far.now)

        result, done = verified(
            file, settings, include_dirs=include, knobs=parse_knob_values(knobs), options=options,
            workload=workload, sets=sets, linked=linked,
            on_stage=begins, on_done=so_far.ended, on_verdict=None if as_json else show_verdict,
        )  # fmt: skip
    if options.plots and done.verdict.coverage:
        result = _with_page(result, done.verdict.coverage, file, options.plots)
    if as_json:
        print_json("verify", result)
        if result.no_token and result.no_token.refused:
            err().print(f"no token: {escape(result.no_token.reason)}", soft_wrap=True)
        return _status(result)
    if sources:
        _show_sources(done.verdict.coverage, file)
    else:
        _show_not_tried(done.verdict.coverage, file)
    if options.only and done.verdict.accepted:
        out().print("no token: one situation alone is no verdict", soft_wrap=True)
    elif result.coverage_shortfall and done.verdict.accepted:
        out().print(f"no token beyond the canary: {escape(result.coverage_shortfall)}", soft_wrap=True)
    if result.machine and done.verdict.accepted and not options.only:
        why = f"its CPUs were taken for a machine ({result.machine}), and a descriptor is no measurement of a host"
        out().print(f"no token beyond the canary: {escape(why)}", soft_wrap=True)
    if not done.verdict.accepted:
        given = partial(
            command_for, file, include=include, linked=linked, knobs=knobs, sets=sets, machine=settings.machine
        )
        _show_again(done, options, given)
    for name, path in result.pictures.items():
        out().print(f"{name}: {escape(path)}", soft_wrap=True)
    _show_token(result, done.verdict, settings)
    for warning in result.warnings[bool(done.warning) :]:  # the first was shown with the verdict
        out().print(f"[yellow]warning[/]: {escape(warning)}", soft_wrap=True)
    return _status(result)


def _show_token(result: VerifyResult, verdict: Verdict, settings: Settings) -> None:
    """Where it lies, and the object that it is for; or why whoever signs gave none."""
    if result.token:
        if (kept := object_path(verdict.object_sha256, settings)).is_file():
            out().print(f"object: {escape(str(kept))}", soft_wrap=True)
        out().print(f"token: {escape(result.token)}", soft_wrap=True)
    elif result.no_token and result.no_token.refused:
        out().print(f"[yellow]token: none[/]: {escape(result.no_token.reason)}", soft_wrap=True)


def _status(result: VerifyResult) -> int:
    """The verdict's. What the signer refuses, as a revoked object, may run as little as what is rejected; if he could
    not be asked, there is no token, which was asked for, too.
    """
    refused = result.no_token if result.no_token and result.no_token.refused else None
    if not result.accepted or (refused and refused.code):
        return REJECTED
    return NOT_SIGNED if refused else ACCEPTED


def _with_page(result: VerifyResult, coverage: Coverage, file: Path, plots: Path) -> VerifyResult:
    """The result with coverage.html among its pictures, or why that could not be written: the verdict holds anyhow."""
    page = plots / "coverage.html"
    try:
        atomic_write(page, coverage_page(coverage, read_source(file)).encode())
    except SchedcpError as error:
        return replace(result, warnings=(*result.warnings, f"--plots: {error}"))
    return replace(result, pictures={"coverage": str(page), **result.pictures})


def _show_again(done: Verified, options: VerifyOptions, command: Callable[[str], str]) -> None:
    """How to see a failure again: the smallest situation that shows it, or how to come to one."""
    if not options.minimize:
        if not options.only and (again := hint(done.verdict.rejection)):
            out().print(again, soft_wrap=True)
    elif done.smallest is None:
        out().print("no situation by itself shows this failure: there is nothing to minimize", soft_wrap=True)
    else:
        again = escape(command(done.smallest.situation))
        out().print(f"smallest of {done.smallest.guests} situations tried: {again}", soft_wrap=True)


def verified(
    file: Path,
    settings: Settings,
    *,
    options: VerifyOptions,
    include_dirs: Sequence[Path] = (),
    knobs: Mapping[str, object] | None = None,
    sets: Mapping[str, object] | None = None,
    linked: Sequence[Path] = (),
    workload: str = "",
    on_stage: OnStage = lambda _: None,
    on_done: OnDone = lambda name, ok: None,
    on_verdict: Callable[[Path, Verified], None] | None = None,
) -> tuple[VerifyResult, Verified]:
    """The verdict on `file`, and the token of an accepted one; `on_verdict` hears of the verdict.

    Whoever signs looks himself: the verdict is the verifier's, our own or the service's, save of one situation alone.
    The signer may refuse for a reason of its own, or fail: the verdict holds then, and `no_token` says why. A key
    store that cannot be used (KeyFileError) is told before any work.
    """
    from tasks.host.audience import audience
    from tasks.tokens.issue import Answer, ask_verifier, check_key_store
    from tasks.tokens.work import Measure, Work
    from verifier_vm.tokens.errors import TokenError
    from verifier_vm.tokens.request import Says

    if options.only is None:
        check_key_store(settings)
        far = bool(workload) and options.tier == "full"  # a score that may be told of, and a token beyond the canary
        measure = Measure(workload, *((PAIRS.preset, most_pairs(PAIRS.preset)) if far else ())) if workload else None
        work = Work(
            str(file), tuple(map(str, linked)), tuple(map(str, include_dirs)), knobs=dict(knobs or {}),
            sets=dict(sets or {}), tier=options.tier,
            check_all=options.check_all, require=options.require, minimize=options.minimize,
            plots=str(options.plots) if options.plots else "", measure=measure,
        )  # fmt: skip
        says = Says(audience(settings), rollout_limit="fleet" if far else "canary", at_most=True)
        answer = ask_verifier(file, settings, work, says, on_stage=on_stage, on_done=on_done)
    else:
        answer = Answer(
            verify(
                file, settings, include_dirs=include_dirs, knobs=knobs, sets=sets, linked=linked, options=options,
                workload=workload, on_stage=on_stage, on_done=on_done,
            )
        )  # fmt: skip
    done, token = answer.verified, answer.token
    if on_verdict:
        on_verdict(file, done)
    no_token = _none_to_sign(done.verdict, options)
    if error := answer.refused:
        reason = shortened(" ".join(str(error).split()), LOG_CHARACTERS)
        no_token = NoToken(reason, error.code if isinstance(error, TokenError) else "")
    result: VerifyResult = extended(
        done.verdict, VerifyResult, token=str(token) if token else None, no_token=no_token,
        clock=done.clock, tier=options.tier,
        rejections=tuple(rejection for stage in done.verdict.stages if (rejection := rejection_of(stage))),
        warnings=(done.warning,) if done.warning else (),
        smallest=done.smallest.situation if done.smallest else "",
        pictures={name: str(path) for name, path in done.pictures.files.items()},
        coverage_shortfall=shortfall(done.verdict.coverage, settings.min_coverage), machine=done.machine,
    )  # fmt: skip
    return result, done


def _none_to_sign(verdict: Verdict, options: VerifyOptions) -> NoToken | None:
    """Why a verdict is none to be signed; None for one that is."""
    if (failed := verdict.rejection) is not None:
        bug = f" ({failed.bug})" if failed.bug else ""
        return NoToken(shortened(f"rejected at {failed.stage}{bug}: {failed.reason}", LOG_CHARACTERS), results.REJECTED)
    if not verdict.accepted:
        return NoToken("rejected", results.REJECTED)
    if options.only is not None:
        return NoToken("one situation alone is no verdict", results.ONE_SITUATION)
    return None


def _show_not_tried(coverage: Coverage | None, file: Path) -> None:
    if coverage is None:
        return
    out().print(f"coverage: {escape(coverage_line(coverage))}", soft_wrap=True)
    places = not_tried(coverage, read_source(file))
    for place in places[:MOST_NOT_TRIED]:
        out().print(f"  not tried {escape(place)}", soft_wrap=True)
    if len(places) > MOST_NOT_TRIED:
        out().print(f"  … and {len(places) - MOST_NOT_TRIED} places more: see --coverage, or --json")


def _show_sources(coverage: Coverage | None, file: Path) -> None:
    if coverage is None:
        out().print("coverage: no guest was started")
        return
    out().print(f"coverage: {escape(coverage_line(coverage))}", soft_wrap=True)
    for line in () if coverage.unknown else annotated(coverage, read_source(file)):
        out().print(escape(line), soft_wrap=True, highlight=False)

# SPDX-License-Identifier: Apache-2.0
"""`schedcp token …`: what a token allows, whether it is good here, its revocation, and the audit log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

from control_plane.output import escape, out, print_json
from control_plane.token_outputs import (
    TokenCheckOutput,
    TokenLogOutput,
    TokenRestoreOutput,
    TokenRevokeOutput,
    TokenShowOutput,
)
from policy_lake.errors import InputError
from policy_lake.model import from_json
from policy_lake.topology import HostCpus, parse_topology
from tasks.host.settings import load_settings
from tasks.tokens.check import (
    Here,
    ReportState,
    Shown,
    check_file,
    read_signed_log,
    show_token,
)
from tasks.tokens.revoke import revoke, signer_of
from verifier_vm.tokens.client import request_restoration
from verifier_vm.tokens.statement import is_sha256
from verifier_vm.tokens.terms import RolloutStage, Token, Tried

HOLDS, REFUSED = 0, 3
REPORTS = {
    ReportState.AS_SIGNED: "as signed",
    ReportState.MISSING: "missing",
    ReportState.OTHER: "another token's",
    ReportState.CHANGED: "changed",
}


def show_command(file: Path, *, as_json: bool) -> int:
    """Print what a token says; 3 when our key did not sign it, or has revoked it."""
    shown = show_token(file, load_settings())
    if as_json:
        print_json("token show", TokenShowOutput(**_fields(shown)))
        return REFUSED if shown.distrust else HOLDS
    if shown.distrust:
        _say(f"[red]not to be trusted[/]: {escape(shown.distrust.reason)}")
        _say("what it claims:")
    for line in words_of(shown.token):
        _say(f"  {escape(line)}")
    _say(f"  report beside it: {REPORTS[shown.report]}")
    return REFUSED if shown.distrust else HOLDS


def check_command(
    file: Path,
    *,
    object: Path | None,
    knobs: Sequence[str] | None,
    sets: Mapping[str, str],
    kernel: str | None,
    btf: str | None,
    stage: str,
    require: Sequence[str] = (),
    topology: str = "",
    as_json: bool,
) -> int:
    """Say whether a token is good on this host, now; a refusal is a TokenError."""
    if stage not in get_args(RolloutStage):
        raise InputError(f"--stage {stage}: not one of {', '.join(get_args(RolloutStage))}")
    if btf is not None and not is_sha256(btf):
        raise InputError(f"--btf {btf[:80]}: no SHA-256 in hex")
    if unknown := [word for word in require if word != "hotplug"]:
        raise InputError(f"--require {unknown[0][:80]}: of a token only hotplug can be required")
    here = Here(
        object,
        None if knobs is None else tuple(knobs),
        kernel,
        btf,
        cast(RolloutStage, stage),
        sets,
        bool(require),
        _cpus(topology),
    )
    shown = check_file(file, here, load_settings())
    if as_json:
        print_json("token check", TokenCheckOutput(**_fields(shown), object_compared=object is not None))
        return HOLDS
    token = shown.token
    _say(f"[green]holds[/]: {escape(token.policy)} may be loaded here until {token.expires:%Y-%m-%d %H:%M} UTC")
    if object is None:
        _say("  not compared: the object and its knobs (give --object and --knob)")
    for line in _situations(token):
        _say(f"  {escape(line)}")
    _say(f"  report beside it: {REPORTS[shown.report]}")
    return HOLDS


def _cpus(text: str) -> HostCpus | None:
    """Another host's CPUs, as `--topology` gives them; None for this one's."""
    if not text:
        return None
    asked = parse_topology(text, "--topology")
    return HostCpus(asked.cpus, asked.llcs, asked.smt, asked.nodes)


def revoke_command(what: str, reason: str, *, as_json: bool) -> None:
    """Put a token or an object on the revocation list of whoever signs."""
    done = revoke(what, reason, load_settings())
    if as_json:
        print_json("token revoke", TokenRevokeOutput(done.kind, done.value, reason, done.version, done.already))
        return
    how = "revoked already" if done.already else "revoked"
    place = f"the list is {'still' if done.already else 'now'} version {done.version}, with {done.count} on it"
    _say(f"{how}: {escape(done.kind)} {escape(done.value)}; {place}")


def restore_command(*, as_json: bool) -> None:
    """Make a lost revocation list anew from the log."""
    revocations = request_restoration(signer_of(load_settings()))
    if as_json:
        print_json("token restore", from_json(TokenRestoreOutput, revocations))
        return
    _say(f"restored: the list is version {revocations['version']}, with {len(revocations['revoked'])} on it")


def log_command(*, check_only: bool, as_json: bool) -> None:
    """Print the log, or only that it holds; a log that does not is a TokenError."""
    log = read_signed_log(load_settings())
    summary = f"{len(log.entries)} entries, the chain holds, revocation list version {log.head.revocations}"
    unfinished = (
        "; its last line is unfinished, and is cut away when the signer is next asked" if log.unfinished else ""
    )
    if as_json:
        entries = () if check_only else tuple(log.entries)
        head = log.head
        version = head.revocations
        record = TokenLogOutput(True, len(log.entries), version, head.sha256, log.unfinished, entries, version)
        print_json("token log", record)
        return
    for entry in () if check_only else log.entries:
        what = entry.policy or entry.reason
        subject = entry.token_sha256 or entry.nonce or entry.object_sha256
        line = f"{entry.seq:>5} {entry.time:%Y-%m-%d %H:%M:%S} {entry.event:<8} {subject[:16]:<16} {what}"
        _say(escape(line))
    _say(summary + unfinished)


def words_of(token: Token) -> list[str]:
    """What the token allows and what it does not, for people."""
    knobs = ", ".join(token.arguments) or "its defaults"
    lines = [
        f"allows: to load {token.policy} (object {token.object_sha256[:16]}…) with {knobs}",
        f"  on the host {token.audience}, kernel {token.kernel}, types {token.btf_sha256[:16]}…",
        f"  from {token.issued:%Y-%m-%d %H:%M} to {token.expires:%Y-%m-%d %H:%M} UTC, once, up to the rollout stage "
        f"{token.rollout_limit}",
        "does not allow: any other object, knob, host or kernel, a second attachment, or any later stage",
        f"limits by which a host's agent takes it off: a task waits at most {token.breaker.stall_ms} ms, and p99, "
        f"where the agent is told the baseline's, is at most {token.breaker.p99_ratio:g} times that",
        f"  last known good: {token.last_known_good or 'the scheduler of the kernel'}",
        *(f"beware: {words}" for words in token.limits),
        f"verified: {', '.join(token.levels)} by checks {token.verifier_version} ({token.checks_sha256[:16]}…)",
        f"adversarial suite: {token.tier} tier",
        f"  executed of the policy's own code: {_tried(token.coverage)}",
        *_situations(token),
        *(f"  {stage.name:<8} passed, report {stage.sha256[:16]}…" for stage in token.stages),
    ]
    if token.ratio:
        low, high = token.ratio.ci95
        lines.append(f"measured on {token.workload}: {token.ratio.median:.2f}x, 95 % interval {low:.2f} to {high:.2f}")
    return [*lines, *_origin(token)]


def _tried(tried: Tried | None) -> str:
    if tried is None:
        return "not known"
    lines, branches = (f"{share.percent:g} % ({share.ran} of {share.of})" for share in (tried.lines, tried.branches))
    return f"{lines} of lines, {branches} of branches; beyond the canary {tried.min_percent} % of branches"


def _situations(token: Token) -> list[str]:
    lines = [f"hotplug: {token.hotplug}", f"tried: {', '.join(token.tried) or 'nothing'}"]
    lines.append(f"on: {'; '.join(map(str, token.topologies))}, and on hosts with no more than that")
    return [*lines, *(f"not tried: {words}" for words in token.not_tried)]


def _origin(token: Token) -> list[str]:
    provenance = token.provenance
    proposed = [f"planner {provenance.planner}"] if provenance.planner else []
    proposed += [f"model {provenance.model}"] if provenance.model else []
    proposed += [f"prompt {provenance.prompt_sha256[:16]}…"] if provenance.prompt_sha256 else []
    proposed += [f"cost {provenance.cost_usd:.4f} USD"] if provenance.cost_usd is not None else []
    return [
        f"proposed by: {', '.join(proposed) or 'not said'}; source {token.source_sha256[:16]}…",
        f"nonce {token.nonce}, version {token.version}, entry {token.log.seq} of the log",
    ]


def _fields(shown: Shown) -> dict[str, Any]:
    distrust = shown.distrust
    return {
        "trusted": distrust is None, "code": distrust.code if distrust else "",
        "reason": distrust.reason if distrust else "", "report": shown.report,
        "token_sha256": shown.token_sha256, "levels": shown.token.levels, "token": shown.token,
    }  # fmt: skip


def _say(line: str) -> None:
    out().print(line, soft_wrap=True)

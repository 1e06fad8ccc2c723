# SPDX-License-Identifier: Apache-2.0
"""`schedcp verify`: one policy from anybody, a verdict, and a token when it is accepted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape
from rich.panel import Panel

from control_plane.output import err, out, print_json, working
from policy_lake.model import Verdict, to_json
from tasks.settings import load_settings
from tasks.verify import verify

ACCEPTED, REJECTED = 0, 3
DOING = {
    "build": "compiling",
    "boot": "booting a guest",
    "kernel": "loading it through the guest kernel's BPF verifier",
    "survive": "attached: stressing it",
    "exit": "taking it off",
    "done": "taking it off",
}


def verify_command(file: Path, include: Sequence[Path], *, as_json: bool) -> int:
    """Verify `file`, print the verdict, return the exit status."""
    from tasks.token import token_for_verdict

    settings = load_settings()
    with working("preparing the guest") as say:
        done = verify(file, settings, include_dirs=include, on_stage=lambda stage: say(DOING.get(stage, stage)))
    token = token_for_verdict(done.verdict, done.source, settings) if done.verdict.accepted else None
    if as_json:
        told = {"token": str(token) if token else None, "clock": done.clock}
        print_json({**to_json(done.verdict), **told, "warnings": [done.warning] if done.warning else []})
    else:
        _show(file, done.verdict, token)
        if done.warning:
            out().print(f"[yellow]warning[/]: {escape(done.warning)}", soft_wrap=True)
    return ACCEPTED if done.verdict.accepted else REJECTED


def _show(file: Path, verdict: Verdict, token: Path | None) -> None:
    console = out()
    for stage in verdict.stages:
        mark = "[green]ok  [/]" if stage.ok else "[red]FAIL[/]"
        console.print(f"  {mark} {stage.name:<8} {stage.seconds:6.2f} s")
    if verdict.rejection is None:
        console.print(f"[green]accepted[/]: {escape(file.name)} ({escape(verdict.ops)}) on kernel {verdict.kernel}")
        console.print(f"token: {token}", soft_wrap=True)
        return
    console.print(f"[red]rejected[/] at {verdict.rejection.stage}: {escape(verdict.rejection.reason)}", soft_wrap=True)
    if verdict.rejection.evidence.strip():
        err().print(Panel(escape(verdict.rejection.evidence.strip()), title="evidence", title_align="left"))

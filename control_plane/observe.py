# SPDX-License-Identifier: Apache-2.0
"""`schedcp observe`: what runs on this host, seen by as many tiers as it takes: figures, words, a picture."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from control_plane.observe_outputs import ObserveOutput
from control_plane.output import err, escape, out, print_json
from policy_lake.observed import Observed, ObserverTier
from tasks.host.settings import Settings
from tasks.observing import scope as scopes
from tasks.observing.observe import Ask, observe_scope
from tasks.observing.probe import Backend
from tasks.observing.started import HeldCommand
from tasks.observing.words import REASONS, lines, targets


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was typed; at most one of the first five."""

    command: tuple[str, ...]
    pid: int | None
    cgroup: str
    service: str
    container: str
    seconds: float
    tier: ObserverTier | None
    backend: Backend | None
    most_share: float


def observe_command(wanted: Wanted, settings: Settings, plots: Path | None, *, as_json: bool) -> int:
    """Observe and print; the exit status is that of a command, else 0."""
    if plots is not None:
        from tasks.trial.pictures import check_directory

        check_directory(plots)
    ask = Ask(wanted.seconds, wanted.tier, wanted.backend, wanted.most_share)
    held = HeldCommand(wanted.command, quiet=as_json) if wanted.command else None
    try:
        scope = _scope(wanted, held)
        err().print(escape(f"observing {scope.resolved}"), soft_wrap=True)
        seen = observe_scope(scope, ask, settings.cache_dir, command=held, say=lambda line: err().print(escape(line)))
    finally:
        if held is not None:
            held.end()
    picture = _picture(seen, plots) if plots is not None else None
    found = targets(seen)
    if as_json:
        print_json("observe", ObserveOutput(seen, tuple(found), picture))
    else:
        _show(seen, found, picture)
    return _exit_status(seen.status)


def _scope(wanted: Wanted, held: HeldCommand | None) -> scopes.Scope:
    if held is not None:
        return scopes.of_command(wanted.command, held.pid)
    if wanted.pid is not None:
        return scopes.of_pid(wanted.pid)
    if wanted.cgroup:
        return scopes.of_cgroup(wanted.cgroup)
    if wanted.service:
        return scopes.of_service(wanted.service)
    return scopes.of_container(wanted.container) if wanted.container else scopes.of_host()


def _picture(seen: Observed, directory: Path) -> str | None:
    """Where the picture is; none without histograms, which it would be of."""
    from benchmarks.plot_observed import draw_observed
    from tasks.trial.pictures import Form, write_pictures

    more = seen.histograms
    if more is None:
        return None

    def drawn(form: Form) -> Iterator[tuple[str, bytes]]:
        yield "observed", draw_observed(more, title=f"{seen.resolved}: {seen.seconds:.1f} s", form=form)

    return str(write_pictures(directory, drawn)["observed"])


def _show(seen: Observed, found: list[str], picture: str | None) -> None:
    console = out()
    ended = ", until it was interrupted" if seen.interrupted else ""
    console.print(f"[bold]{escape(seen.resolved)}[/]: {seen.seconds:.1f} s{ended}", soft_wrap=True)
    for line in lines(seen):
        console.print(f"  {escape(line)}", soft_wrap=True)
    for step in seen.steps:
        console.print(f"tier {step.tier}: {'taken' if step.taken else 'not taken'}: {REASONS[step.reason]} "
                      f"({step.reason})", soft_wrap=True)  # fmt: skip
    for lack in seen.missing:
        mend = f"; {lack.mend}" if lack.mend else ""
        console.print(f"[yellow]not available[/]: {escape(f'{lack.what}: {lack.why}{mend}')}", soft_wrap=True)
    for target in found:
        console.print(f"target: {escape(target)}", soft_wrap=True)
    if picture:
        console.print(f"picture: {escape(picture)}", soft_wrap=True)
    sys.stdout.flush()


def _exit_status(status: int | None) -> int:
    return 0 if status is None else 128 - status if status < 0 else status

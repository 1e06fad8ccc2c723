# SPDX-License-Identifier: Apache-2.0
"""`schedcp observe` as it is typed: the words and options that it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from control_plane.options import Json, chosen, number
from policy_lake.errors import InputError
from policy_lake.limits import OBSERVE_S, PID, PROBE_COST
from policy_lake.observed import TIERS, ObserverTier


def observe(
    command: Annotated[list[str] | None, typer.Argument(help="A command to run and observe, after `--`.")] = None,
    pid: Annotated[int | None, number(PID, "--pid", help="A process, with those that it starts.")] = None,
    cgroup: Annotated[str, typer.Option("--cgroup", metavar="PATH", help="A control group, v1 or v2.")] = "",
    service: Annotated[str, typer.Option("--service", metavar="UNIT", help="A systemd unit, by its group.")] = "",
    container: Annotated[
        str, typer.Option("--container", metavar="NAME", help="A container: a name if the engine answers, or an id.")
    ] = "",
    duration: Annotated[
        int | None,
        number(
            OBSERVE_S, "--duration", help="For how long, s; Ctrl-C keeps what was seen.  [default: 10; a command's]"
        ),
    ] = None,
    tier: Annotated[
        str,
        typer.Option("--tier", metavar="|".join(TIERS[:2]), help="Up to which tier.  [default: as far as it needs]"),
    ] = "",
    backend: Annotated[
        str, typer.Option("--backend", metavar="core|bcc", help="Who loads the probe.  [default: core where BTF is]")
    ] = "",
    max_cost: Annotated[
        int, number(PROBE_COST, "--max-cost", help="Share of all CPUs, in %, beyond which the probe comes off.")
    ] = PROBE_COST.preset,
    plots: Annotated[Path | None, typer.Option("--plots", help="Directory for a picture.")] = None,
    json: Json = False,
) -> None:
    """Observe what runs on this host: a process, a service, a container, a command, or, if none is named, all."""
    from control_plane.observe import Wanted, observe_command

    if tier not in ("", *TIERS[:2]):
        raise InputError(f"--tier '{tier[:40]}': is not one of {', '.join(TIERS[:2])}")
    if backend not in ("", "core", "bcc"):
        raise InputError(f"--backend '{backend[:40]}': is neither core nor bcc")
    named = [name for name, given in (("--pid", pid), ("--cgroup", cgroup), ("--service", service),
                                      ("--container", container), ("a command", command)) if given]  # fmt: skip
    if len(named) > 1:
        raise InputError(f"{' and '.join(named)}: one thing is observed at a time")
    wanted = Wanted(
        command=tuple(command or ()), pid=pid, cgroup=cgroup, service=service, container=container,
        seconds=duration if duration is not None else OBSERVE_S.high if command else OBSERVE_S.preset,
        tier=_tier(tier), backend="bcc" if backend == "bcc" else "core" if backend else None, most_share=max_cost / 100,
    )  # fmt: skip
    raise typer.Exit(observe_command(wanted, chosen(), plots, as_json=json))


def _tier(word: str) -> ObserverTier | None:
    return next((tier for tier in TIERS if tier == word), None)

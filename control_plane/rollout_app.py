# SPDX-License-Identifier: Apache-2.0
"""`schedcp rollout` and `schedcp stop` as they are typed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from control_plane.options import Json, chosen, number
from policy_lake.limits import SEED

Hosts = Annotated[
    list[str],
    typer.Option(
        "--host",
        help="A fleet's host (fleet-1), or NAME@ADDRESS:PORT, with SCHEDCP_CERTIFICATES naming the directory of "
        "ca.pem, control-plane.pem and control-plane.key; again for each.",
    ),
]


def rollout(
    token: Annotated[
        list[Path],
        typer.Argument(
            metavar="TOKEN...|oci:DIR[:NAME]",
            help="Token files, or an OCI layout with tokens and object; each attachment on a host uses one up.",
        ),
    ],
    plan: Annotated[Path, typer.Option("--plan", help="Steps, metrics and limits, a TOML file (docs/rollout.md).")],
    host: Hosts,
    object_file: Annotated[
        Path | None, typer.Option("--object", help="The policy.bpf.o that token files are for.")
    ] = None,
    trust: Annotated[
        Path | None,
        typer.Option(
            help="Directory of `verifierd trust`, which hosts are told of first.  [default: our own key store]"
        ),
    ] = None,
    on_doubt: Annotated[
        str, typer.Option("--on-doubt", metavar="ask|stop", help="Pause for a person in the Prefect UI, or end there.")
    ] = "ask",
    seed: Annotated[int, number(SEED, help="Of the order of policy and baseline.")] = SEED.preset,
    without: Annotated[
        list[str] | None, typer.Option(help="A host of those that does not answer: go on without it; again for each.")
    ] = None,
    json: Json = False,
) -> None:
    """Bring a verified policy onto hosts in steps, compare it with each host's own scheduler, take it back in doubt.

    Exit status: 0 promoted, 1 stopped by a person or a host lost, 2 bad input, 3 refused or taken back,
    4 a host did not answer before it began.
    """
    from control_plane.rollout import rollout_command

    raise typer.Exit(
        rollout_command(
            token,
            object_file,
            plan,
            host,
            chosen(),
            on_doubt=on_doubt,
            seed=seed,
            trust=trust,
            as_json=json,
            without=without or (),
        )
    )


def stop(
    host: Hosts,
    reason: Annotated[str, typer.Option(help="Kept in the host's audit log.")] = "schedcp stop",
    json: Json = False,
) -> None:
    """Take every policy of ours off these hosts now, and let none on before an administrator resumes them.

    Exit status: 0 all stopped, 2 a name was wrong and the rest stopped, 4 a host did not say that it stopped.
    """
    from control_plane.rollout import stop_command

    raise typer.Exit(stop_command(host, reason, chosen(), as_json=json))

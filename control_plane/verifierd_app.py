# SPDX-License-Identifier: Apache-2.0
"""`schedcp verifierd`: the service, and what is asked of one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from control_plane.options import Json

verifierd_app = typer.Typer(help="The verifier as a service: its own user, its own key. Without a word more, run it.")


@verifierd_app.callback(invoke_without_command=True)
def verifierd(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", help="Its TOML file.  [default: /etc/schedcp/verifierd.toml]")
    ] = None,
) -> None:
    """Verify and sign what clients send, until SIGTERM: every stage is run here, and no verdict is taken."""
    if context.invoked_subcommand is None:
        from control_plane.verifierd import serve_until_told
        from control_plane.verifierd_config import CONFIG, read_config

        serve_until_told(read_config(config or CONFIG))


@verifierd_app.command("status")
def verifierd_status(json: Json = False) -> None:
    """Say whether the service of SCHEDCP_VERIFIER answers, and what it is at."""
    from control_plane.verifierd_ask import status_command

    status_command(as_json=json)


@verifierd_app.command("trust")
def verifierd_trust(
    directory: Annotated[Path, typer.Argument(help="Where a host keeps what it trusts, /etc/schedcp/trust there.")],
    json: Json = False,
) -> None:
    """Write the service's public key, revocation list and audit log where a host can check tokens by them."""
    from control_plane.verifierd_ask import trust_command

    trust_command(directory, as_json=json)


@verifierd_app.command("evidence")
def verifierd_evidence(
    digest: Annotated[str, typer.Argument(help="A token's evidence_sha256, or a file's in that list.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file to write.")] = None,
    json: Json = False,
) -> None:
    """Give back what a token stands on: the list of its evidence files, or one of them."""
    from control_plane.verifierd_ask import evidence_command

    evidence_command(digest, output, as_json=json)

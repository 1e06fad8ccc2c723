# SPDX-License-Identifier: Apache-2.0
"""`schedcp token`: the sub-commands; `schedcp export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from control_plane.options import Json, OpsFlags, OpsName, Sets, sets_of

token_app = typer.Typer(
    help="Signed authorisations to load a policy: show, check, revoke; the audit log.", no_args_is_help=True
)
TokenFile = Annotated[Path, typer.Argument(help="A token, NAME.dsse.json.")]


@token_app.command("show")
def token_show(file: TokenFile, json: Json = False) -> None:
    """Say what a token allows and what not; exit status 3 unless our key signed it and has not revoked it."""
    from control_plane.token import show_command

    raise typer.Exit(show_command(file, as_json=json))


@token_app.command("check")
def token_check(
    file: TokenFile,
    object: Annotated[Path | None, typer.Option("--object", help="The object to be loaded, .bpf.o.")] = None,
    knob: Annotated[list[str] | None, typer.Option("--knob", help="NAME=VALUE, repeatable, as loaded.")] = None,
    set_: Sets = None,
    ops: OpsName = "",
    ops_flag: OpsFlags = None,
    kernel: Annotated[str | None, typer.Option("--kernel", help="Its release.  [default: this host's]")] = None,
    btf: Annotated[str | None, typer.Option("--btf", help="SHA-256 of its BTF.  [default: this host's]")] = None,
    stage: Annotated[str, typer.Option("--stage", metavar="canary|host|fleet", help="Of the rollout.")] = "canary",
    require: Annotated[
        list[str] | None,
        typer.Option("--require", metavar="hotplug", help="Refuse a policy that ends when a CPU goes or comes."),
    ] = None,
    topology: Annotated[
        str, typer.Option("--topology", metavar="cpus=N,llcs=N,smt=N,nodes=N", help="Its CPUs.  [default: this host's]")
    ] = "",
    json: Json = False,
) -> None:
    """Say whether a token is good here and now, with nothing used up; exit status 3 and the reason if not."""
    from control_plane.token import check_command

    raise typer.Exit(
        check_command(
            file, object=object, knobs=knob, sets=sets_of(set_, ops, ops_flag), kernel=kernel, btf=btf, stage=stage,
            require=require or (), topology=topology, as_json=json,
        )
    )  # fmt: skip


@token_app.command("revoke")
def token_revoke(
    what: Annotated[str, typer.Argument(help="A token's file, its nonce, or an object's SHA-256.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, in one line.")],
    json: Json = False,
) -> None:
    """Revoke a token, or every token for an object."""
    from control_plane.token import revoke_command

    revoke_command(what, reason, as_json=json)


@token_app.command("restore")
def token_restore(json: Json = False) -> None:
    """Make a lost revocation list anew from the audit log."""
    from control_plane.token import restore_command

    restore_command(as_json=json)


@token_app.command("log")
def token_log(
    check: Annotated[bool, typer.Option("--check", help="Only say whether it holds.")] = False, json: Json = False
) -> None:
    """List the audit log (all that was signed, refused and revoked), and check its chain from end to end."""
    from control_plane.token import log_command

    log_command(check_only=check, as_json=json)


def export(
    token: TokenFile,
    oci: Annotated[Path, typer.Option("--oci", help="A directory that is not there, an empty one, or a layout.")],
    object_file: Annotated[
        Path | None, typer.Option("--object", help="The object that it is for.  [default: the one kept here]")
    ] = None,
    trust: Annotated[
        Path | None, typer.Option(help="Directory of `verifierd trust`.  [default: our own key store]")
    ] = None,
    json: Json = False,
) -> None:
    """Write a token and its object as an OCI image layout, which registries carry and hosts admit from."""
    from control_plane.export import export_command

    export_command(token, oci, object_file, trust, as_json=json)

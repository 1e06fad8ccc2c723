# SPDX-License-Identifier: Apache-2.0
"""`schedcp export`: a token and its object as an OCI image layout."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from control_plane.output import escape, out, print_json
from control_plane.token_outputs import ExportOutput
from tasks.host.settings import load_settings
from tasks.tokens.export import export_token


def export_command(
    token: Path, directory: Path, object_file: Path | None, trust: Path | None, *, as_json: bool
) -> None:
    """Write it, and say by which names a registry's client finds it."""
    done = export_token(token, directory, load_settings(), object_file=object_file, trust=trust)
    if as_json:
        print_json("export", ExportOutput(**{**asdict(done), "directory": str(directory)}))
        return
    lines = (
        f"{directory}: image {done.ref}, {done.image}, with {done.tokens} token{'s' * (done.tokens != 1)}",
        f"  to a registry: skopeo copy oci:{directory}:{done.ref} docker://REGISTRY/NAME:{done.ref}",
        f"  its tokens:    skopeo copy --all oci:{directory}:{done.referrers} docker://REGISTRY/NAME:{done.referrers}",
    )
    for line in lines:
        out().print(escape(line), soft_wrap=True)

# SPDX-License-Identifier: Apache-2.0
"""`schedcp clean`: what SchedCP keeps on this host, removed."""

from __future__ import annotations

from rich.markup import escape

from control_plane.output import out, print_json, working
from control_plane.outputs import CleanedPath, CleanOutput, KeptPath
from tasks.host.places import clean
from tasks.host.settings import Settings
from tasks.hosts.fleet import running_fleets


def clean_command(settings: Settings, *, everything: bool, dry_run: bool, as_json: bool) -> None:
    """Remove, and say what and how much; a dry run says the same and removes nothing."""
    with working("removing"):
        cleaned = clean(settings, everything=everything, dry_run=dry_run, stay=running_fleets(settings))
    removed = tuple(CleanedPath(str(part.path), part.size) for part in cleaned.removed)
    kept = tuple(KeptPath(str(part.path), part.size, part.why) for part in cleaned.kept)
    total = sum(part.bytes for part in removed)
    if as_json:
        print_json("clean", CleanOutput(dry_run, everything, total, removed, kept))
        return
    for part in removed:
        out().print(f"{_size(part.bytes)}  {escape(part.path)}", soft_wrap=True)
    for stays in kept:
        out().print(f"{_size(stays.bytes)}  {escape(stays.path)}: kept, {escape(stays.why)}", soft_wrap=True)
    out().print(f"{'would remove' if dry_run else 'removed'}: {_size(total).strip()}", soft_wrap=True)


def _size(size: int) -> str:
    return f"{size / 2**20:9.1f} MiB"

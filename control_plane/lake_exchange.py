# SPDX-License-Identifier: Apache-2.0
"""`schedcp lake export`, `import` and `merge`: rows between lakes, none of which overwrites another."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path

from control_plane.campaign_outputs import LakeExportOutput, LakeTakenOutput
from control_plane.output import escape, out, print_json, working
from policy_lake.exchange import Source, Taken, export_lake, file_source, lake_source, take
from policy_lake.show import for_terminal
from tasks.host.lake import open_lake
from tasks.host.settings import load_settings


def export_command(file: Path, *, as_json: bool) -> None:
    """Write the file."""
    with working("writing the lake's rows"):
        counts = export_lake(open_lake(load_settings()), file, host=platform.node())
    if as_json:
        print_json("lake export", LakeExportOutput(str(file), dict(counts)))
        return
    out().print(escape(f"{file}: {_counted(counts)}"), soft_wrap=True)


def import_command(file: Path, *, as_json: bool) -> None:
    """Take the file's rows."""
    _take("lake import", file_source(file), as_json=as_json)


def merge_command(directory: Path, *, as_json: bool) -> None:
    """Take the other lake's rows."""
    _take("lake merge", lake_source(directory), as_json=as_json)


def _take(command: str, source: Source, *, as_json: bool) -> None:
    settings = load_settings()
    with working(f"taking the rows of {for_terminal(source.name)}"):
        taken = take(open_lake(settings), source, host=platform.node())
    if as_json:
        print_json(command, LakeTakenOutput(source.name, source.host, *map(dict, _parts(taken))))
        return
    words = ("new", "here already", "of an id that is another here, which stays")
    for word, counts in zip(words, _parts(taken), strict=True):
        out().print(escape(f"{word}: {_counted(counts)}"), soft_wrap=True)


def _parts(taken: Taken) -> tuple[Mapping[str, int], ...]:
    return taken.new, taken.known, taken.kept


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in counts.items()) or "nothing"

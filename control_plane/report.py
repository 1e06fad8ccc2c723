# SPDX-License-Identifier: Apache-2.0
"""`schedcp report`: what the lake holds, as pages to look at."""

from __future__ import annotations

from pathlib import Path

from control_plane.lake import READING
from control_plane.output import escape, out, print_json, working
from control_plane.outputs import ReportOutput
from control_plane.pages.place import check_place
from tasks.host.settings import load_settings


def report_command(directory: Path, most_runs: int, *, as_json: bool) -> None:
    """Write the pages, whole or not at all, and say where they begin."""
    check_place(directory)  # before the lake is loaded, which takes a second
    from control_plane.pages.site import write_report
    from tasks.host.lake import open_lake

    with working(READING):
        settings = load_settings()
        done = write_report(open_lake(settings), settings, directory, most_runs=most_runs)
    page = str((directory / "index.html").absolute())
    if as_json:
        counts = (done.runs, done.unpaged, done.policies, done.rollouts, done.pages, done.bytes)
        print_json("report", ReportOutput(page, *counts))
        return
    without = f" ({done.unpaged} of them in the list alone)" if done.unpaged else ""
    held = f"{done.runs} runs{without}, {done.policies} policies, {done.rollouts} rollouts"
    out().print(f"{held}: {done.pages} pages, {done.bytes / 1e6:.1f} MB", soft_wrap=True)
    out().print(f"report: {escape(page)}", soft_wrap=True)

# SPDX-License-Identifier: Apache-2.0
"""Pictures of scores and of traced runs, drawn, and files of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.timeline import Timeline
from policy_lake.files import atomic_write
from policy_lake.scores import Score

FORMS: tuple[Literal["png", "svg"], ...] = ("png", "svg")


@dataclass(frozen=True, slots=True)
class Pictures:
    """Where the files are, by what they show: `timeline`, `waits`, `scores`, and `perfetto` if it was asked for."""

    files: dict[str, Path]

    def markdown(self) -> str:
        """The pictures as Markdown, beside which they lie."""
        shown = [path for name, path in sorted(self.files.items()) if name in ("timeline", "waits", "scores")]
        return "".join(f"![{path.stem}]({path.name})\n\n" for path in shown)


def draw(
    directory: Path,
    scores: Sequence[Score],
    timelines: Mapping[str, Timeline],
    *,
    perfetto: bool = False,
) -> Pictures:
    """Write the pictures as PNG and SVG into `directory`, each whole or not at all."""
    from benchmarks import plots  # a second of matplotlib that only who wants pictures pays

    where = f"{scores[0].workload}, {scores[0].topology or f'{scores[0].cpus} CPUs'}, {scores[0].clock} clock"
    files: dict[str, Path] = {}
    for form in FORMS:
        drawn = {"scores": plots.draw_scores(scores, title=where, form=form)}
        if timelines:
            drawn["timeline"] = plots.draw_timelines(timelines, title=f"{where}: who ran where", form=form)
            drawn["waits"] = plots.draw_waits(timelines, title=f"{where}: how long tasks waited", form=form)
        for name, data in drawn.items():
            atomic_write(directory / f"{name}.{form}", data)
            files.setdefault(name, directory / f"{name}.{form}")
    if perfetto and timelines:
        from benchmarks.perfetto import trace_events

        files["perfetto"] = directory / "perfetto.json"
        atomic_write(files["perfetto"], json.dumps(trace_events(timelines)).encode())
    return Pictures(files)

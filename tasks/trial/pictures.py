# SPDX-License-Identifier: Apache-2.0
"""Pictures of scores and of traced runs, drawn, and files of them."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.timeline import Timeline
from policy_lake.errors import InputError
from policy_lake.files import atomic_write, check_writable
from policy_lake.scores import Score

MOST_BYTES = 1 << 20  # of a picture within a page: ours have some 40 kB
Form = Literal["png", "svg"]
FORMS: tuple[Form, ...] = ("png", "svg")


@dataclass(frozen=True, slots=True)
class Pictures:
    """Where files lie, by what they show: `timeline`, `waits`, `scores`, a machine's `costs`, `perfetto` on request."""

    files: dict[str, Path]

    def markdown(self, *, embedded: bool = False) -> str:
        """The pictures as Markdown, beside which they lie; or `embedded`, for a page that knows no files.

        Prefect's UI renders `data:image/` sources, and nothing else that a server without a store of files can give
        (ui-v2 of 3.8.8 allows them in its sanitizer by name). A picture that cannot be read is left out.
        """
        shown = [path for name, path in sorted(self.files.items()) if name in ("timeline", "waits", "scores", "costs")]
        sources = {path.stem: _data_uri(path) if embedded else path.name for path in shown}
        return "".join(f"![{name}]({source})\n\n" for name, source in sources.items() if source)


def _data_uri(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError:
        return ""
    return f"data:image/png;base64,{base64.b64encode(data).decode()}" if len(data) <= MOST_BYTES else ""


NAMES = ("scores", "costs", "timeline", "waits", "tasks")


def check_directory(directory: Path) -> None:
    """Make it if it is not there; InputError, before any work, if no picture can be written there."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--plots {directory}: {error.strerror}") from None
    if not os.access(directory, os.W_OK | os.X_OK):
        raise InputError(f"--plots {directory}: nothing can be written there")
    for name in (*(f"{picture}.{form}" for picture in NAMES for form in FORMS), "coverage.html", "perfetto.json"):
        if os.path.lexists(directory / name):
            try:
                check_writable(directory / name)
            except InputError as error:
                raise InputError(f"--plots {error}") from None


def write_pictures(directory: Path, draw: Callable[[Form], Iterable[tuple[str, bytes]]]) -> dict[str, Path]:
    """Write each picture in each form, whole or not at all; the paths of the first form by the pictures' names."""
    files: dict[str, Path] = {}
    for form in FORMS:
        for name, data in draw(form):
            atomic_write(directory / f"{name}.{form}", data)
            files.setdefault(name, directory / f"{name}.{form}")
    return files


def draw(
    directory: Path,
    scores: Sequence[Score],
    timelines: Mapping[str, Timeline],
    *,
    perfetto: bool = False,
) -> Pictures:
    """Write the pictures as PNG and SVG into `directory`, each whole or not at all."""
    from benchmarks import plots  # a second of matplotlib that only who wants pictures pays
    from benchmarks.plot_costs import draw_costs

    where = f"{scores[0].workload}, {scores[0].topology or f'{scores[0].cpus} CPUs'}, {scores[0].clock} clock"

    def drawn(form: Form) -> Iterator[tuple[str, bytes]]:
        yield "scores", plots.draw_scores(scores, title=where, form=form)
        if all(score.paid for score in scores):
            yield "costs", draw_costs(scores, title=f"{where}: what the machine's costs took", form=form)
        if timelines:
            yield "timeline", plots.draw_timelines(timelines, title=f"{where}: who ran where", form=form)
            yield "waits", plots.draw_waits(timelines, title=f"{where}: how long tasks waited", form=form)

    files = write_pictures(directory, drawn)
    if perfetto and timelines:
        from benchmarks.perfetto import trace_events

        files["perfetto"] = directory / "perfetto.json"
        atomic_write(files["perfetto"], json.dumps(trace_events(timelines)).encode())
    return Pictures(files)

# SPDX-License-Identifier: Apache-2.0
"""`schedcp explain` and `schedcp lessons`: what runs came to and taught, in words and one picture."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

from control_plane.lake import READING
from control_plane.output import escape, out, print_json, working
from control_plane.results import ExplainOutput, LessonsOutput, ToldParagraph
from policy_lake.errors import InputError
from policy_lake.ranking import best
from policy_lake.scores import Score
from tasks.host.lake import open_lake
from tasks.host.settings import load_settings
from tasks.planners.taught import kinds_of
from tasks.run.story import Story, story_of


def explain_command(run_id: str, plots: Path | None, *, as_json: bool) -> None:
    """Tell a run's story, and draw it if asked to."""
    from tasks.trial.pictures import check_directory

    if plots is not None:
        check_directory(plots)
    with working(READING):
        story = story_of(run_id, open_lake(load_settings()))
    pictures = {name: str(path) for name, path in _draw(story, plots).items()} if plots is not None else {}
    if as_json:
        told = tuple(ToldParagraph(one.heading, one.lines) for one in story.paragraphs)
        print_json("explain", ExplainOutput(story.run, story.workload, told, pictures))
        return
    for paragraph in story.paragraphs:
        out().print(f"[bold]{escape(paragraph.heading)}[/]", soft_wrap=True)
        for line in paragraph.lines:
            out().print(f"  {escape(line)}", soft_wrap=True)
    for name, path in pictures.items():
        out().print(f"{escape(name)}: {escape(path)}", soft_wrap=True)


def _draw(story: Story, directory: Path) -> dict[str, Path]:
    from benchmarks.plot_courses import draw_story
    from tasks.trial.pictures import Form, write_pictures

    scores = [attempt.score for attempt in story.tried if attempt.score is not None]
    if not scores:
        raise InputError(f"run '{story.run}': nothing was measured in it, so there is nothing to draw")
    so_far = list(accumulate((_ratio(scores[: index + 1]) for index in range(len(scores))), max))

    def drawn(form: Form) -> Iterator[tuple[str, bytes]]:
        yield "story", draw_story(scores, so_far, title=f"{story.run}: what was tried", form=form)

    return write_pictures(directory, drawn)


def _ratio(scores: list[Score]) -> float:
    leader = best(scores)
    return max(1.0, leader.ratio.median) if leader is not None else 1.0


def lessons_command(workload: str, *, as_json: bool) -> None:
    """What was learned of kinds of workload, or of one workload and its siblings."""
    with working(READING):
        lake = open_lake(load_settings())
        kinds = kinds_of(lake.profiles(), lake.scores())
        said = lake.lessons(workload or None)
    if workload:
        kinds = tuple(kind for kind in kinds if workload in kind.workloads)
    if as_json:
        print_json("lessons", LessonsOutput(kinds, tuple(said)))
        return
    shown = said if workload else [lesson for lesson in said if not lesson.run_id]  # of rollouts: no kind has them
    if not kinds and not shown:
        out().print("no lessons yet: `schedcp tune batch` teaches some")
    for kind in kinds:
        out().print(f"[bold]{escape(', '.join(kind.workloads))}[/]: {escape(kind.words)}", soft_wrap=True)
        for taught in kind.taught:
            out().print(f"  {escape(taught.words)}", soft_wrap=True)
    for lesson in shown:
        out().print(f"{escape(lesson.run_id or lesson.id)}: {escape(lesson.text)}", soft_wrap=True)

# SPDX-License-Identifier: Apache-2.0
"""`schedcp compare`: planners side by side on one workload, as a table and a picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from control_plane.output import escape, out, print_json, working
from control_plane.results import CompareOutput
from policy_lake.comparison import Comparison, Course
from policy_lake.show import for_terminal
from tasks.compare import NEAR, CompareRequest, compare
from tasks.host.lake import open_lake
from tasks.host.settings import Settings
from tasks.run.certainty import ratio_text
from tasks.run.stop import WORDS


def compare_command(request: CompareRequest, settings: Settings, plots: Path | None, *, as_json: bool) -> None:
    """Compare, print."""
    from tasks.trial.pictures import check_directory

    if plots is not None:
        check_directory(plots)
    with working(f"comparing {len(request.planners)} planners on {for_terminal(request.workload)}"):
        done = compare(request, settings, open_lake(settings))
    pictures = {name: str(path) for name, path in _draw(done, plots).items()} if plots is not None else {}
    if as_json:
        print_json("compare", CompareOutput(done, pictures))
        return
    for line in table(done):
        out().print(escape(line), soft_wrap=True)
    for name, path in pictures.items():
        out().print(f"{escape(name)}: {escape(path)}", soft_wrap=True)


def table(done: Comparison) -> Iterator[str]:
    """One line a planner: what it reached with its interval, the runs to come near the best, candidates, seconds."""
    bound = f", bound {done.bound:.2f}x" if done.bound is not None else ""
    yield f"{done.workload}, {done.tier}, {done.cpus} CPUs, at most {done.max_runs} runs each, seed {done.seed}{bound}"
    near = NEAR * max([1.0, *(course.points[-1].ratio for course in done.courses if course.points)])
    for course in done.courses:
        reached = ratio_text(course.best.ratio) if course.best is not None else "nothing that may run"
        within = course.runs_to(near)
        yield (
            f"  {course.planner:<10} {reached:<22} {_near(within):<26} first win {_first(course):<4}"
            f"{course.candidates:>4} candidates, {course.runs} runs, {course.wall_s:.0f} s; {WORDS[course.stopped]}"
        )


def _near(within: int | None) -> str:
    return f"within 2 % by {within} runs" if within is not None else "never within 2 %"


def _first(course: Course) -> str:
    return str(course.first_win) if course.first_win is not None else "none"


def _draw(done: Comparison, directory: Path) -> dict[str, Path]:
    from benchmarks.plot_courses import draw_courses
    from tasks.trial.pictures import Form, write_pictures

    courses = {one.planner: [(point.runs, point.ratio) for point in one.points] for one in done.courses}
    title = f"{done.workload}, {done.tier}, {done.cpus} CPUs: planners with {done.max_runs} runs each"

    def drawn(form: Form) -> Iterator[tuple[str, bytes]]:
        yield "courses", draw_courses(courses, bound=done.bound, title=title, form=form)

    return write_pictures(directory, drawn)

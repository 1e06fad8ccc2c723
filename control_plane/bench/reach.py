# SPDX-License-Identifier: Apache-2.0
"""`make reach`: what the planner reaches on each workload, beside the bound of arithmetic, into docs/reach.md (hours).

Every case begins with nothing known: a planner with a budget of runs, no lake of earlier scores. What was measured is
kept, so a run that was stopped goes on. What was measured by other planners or policies, or in another guest, stays in
the table and is marked; naming its workload measures it anew.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from policy_lake.comparison import Comparison
from policy_lake.errors import SchedcpError
from policy_lake.files import atomic_write
from tasks.compare import CompareRequest, compare
from tasks.host.lake import open_lake
from tasks.host.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reach.md"
NAME = "reach.json"  # in the cache directory
RUNS = 60
OF = ("tasks/planners", "tasks/trial", "bpf", "benchmarks/guest", "benchmarks/workloads", "verifier_vm/vclock")
SOURCES = (".py", ".c", ".h", ".toml")
OLDER = "(older)"
NEAR_BOUND = 0.95  # of it: what a batch is to reach
PAPER = ("checksum", "compression", "ctest", "git", "hotkey", "logs", "products", "video")
SERVERS = ("schbench", "schbench-paced", "schbench-paper", "schbench-light", "wakeup")
MIXTURES = ("forkjoin", "server-batch", "mixed")
BUILDS = {"kernel-build-j8": 8, "kernel-build-j16": 16}


@dataclass(frozen=True, slots=True)
class Case:
    """A workload with its CPUs, numbers of its own (NAME=NUMBER by spaces) and machine; empty: as it stands."""

    workload: str
    cpus: int = 0
    work: str = ""
    machine: str = ""

    @property
    def key(self) -> str:
        """What names it in the file of what is known."""
        return "|".join((self.workload, str(self.cpus), self.work, self.machine))


@dataclass(frozen=True, slots=True)
class Reached:
    """What the planner came to in a case: ratio and guards above 1 better than EEVDF; or why it could not be had.

    `of` is the digest of what it is measured with (`measured_with`).
    """

    case: Case
    cpus: int = 0
    metric: str = ""
    policy: str = ""
    knobs: dict[str, str] = field(default_factory=dict)
    ratio: float = 1.0
    low: float = 1.0
    high: float = 1.0
    outcome: str = ""
    bound: float | None = None
    eevdf: float = 0.0
    unit: str = ""
    guards: dict[str, float] = field(default_factory=dict)
    candidates: int = 0
    first_win: int | None = None
    near_best_runs: int | None = None
    runs: int = 0
    wall_s: float = 0.0
    stopped: str = ""
    failure: str = ""
    of: str = ""

    @property
    def share(self) -> float | None:
        """Of the bound, by the median; None without one."""
        return self.ratio / self.bound if self.bound else None


def cases() -> Iterator[Case]:
    """All, in the order in which they are measured: batches as the paper has them first."""
    for shuffle in (0, 1):
        for cpus in (2, 8):
            for name in PAPER:
                yield Case(f"batch-{name}", cpus, f"shuffle={shuffle}" if shuffle else "")
    yield from (Case(name) for name in (*SERVERS, *MIXTURES))
    yield from (Case(name, cpus) for name, cpus in BUILDS.items())
    for naming in (1, 2):
        for cpus in (2, 8):
            for name in PAPER:
                yield Case(f"batch-{name}", cpus, f"naming={naming} shuffle=1")
    for machine in ("desktop", "server"):
        yield from (Case(name, 8, "", machine) for name in ("batch-compression", "batch-video", "schbench", "wakeup"))


def reached(case: Case, done: Comparison) -> Reached:
    """The planner's course in numbers."""
    course = done.courses[0]
    best, points = course.best, course.points
    found = Reached(
        case, done.cpus, bound=done.bound, candidates=course.candidates, first_win=course.first_win, runs=course.runs,
        near_best_runs=course.runs_to(0.98 * points[-1].ratio) if points else None, wall_s=course.wall_s,
        stopped=course.stopped,
    )  # fmt: skip
    if best is None:
        return found
    return Reached(**{
        **{name: getattr(found, name) for name in found.__dataclass_fields__},
        "metric": best.metric, "unit": best.unit, "policy": best.policy,
        "knobs": {name: str(value) for name, value in best.knob_values.items()},
        "ratio": best.ratio.median, "low": best.ratio.ci95[0], "high": best.ratio.ci95[1], "outcome": best.outcome,
        "bound": best.bound or done.bound, "eevdf": sorted(p.baseline for p in best.pairs)[len(best.pairs) // 2],
        "guards": {name: of.median for name, of in best.ratios.items()},
    })  # fmt: skip


def measure(case: Case, settings: Settings) -> Reached:
    """Tune one case from nothing."""
    with tempfile.TemporaryDirectory(prefix="schedcp-reach-") as place:
        own = settings.model_copy(update={
            "data_dir": Path(place), "lake": Path(place) / "lake", "work": case.work, "cpus": case.cpus,
            "machine": case.machine,
        })  # fmt: skip
        return reached(case, compare(CompareRequest(case.workload, ("embedded",), RUNS), own, open_lake(own)))


def measured_with() -> str:
    """A digest of the planner, the policies, the workloads and the clock, which a case's figures hang on."""
    digest = hashlib.sha256()
    for path in sorted(path for folder in OF for path in (ROOT / folder).rglob("*.*") if path.suffix in SOURCES):
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def row(one: Reached, of_now: str = "") -> str:
    """A line of the page's table; marked if it is not of what there is now."""
    of = one.case
    name = f"{OLDER} " * (of_now != one.of) + of.workload + (f" `{of.work}`" if of.work else "")
    where = f"{one.cpus or of.cpus or '?'}" + (f", {of.machine}" if of.machine else "")
    if one.failure:
        return f"| {name} | {where} | not measured: {one.failure} | | | | | |"
    ratio = f"{one.ratio:.3f}x [{one.low:.3f}, {one.high:.3f}]"
    ratio = f"**{ratio}**" if one.outcome == "win" else ratio
    bound = f"{one.bound:.3f}x, {100 * (one.share or 0):.0f} %" if one.bound else "none known"
    guards = ", ".join(f"{metric} {value:.2f}x" for metric, value in one.guards.items()) or "none"
    knobs = ", ".join(f"{k}={v}" for k, v in one.knobs.items() if not k.startswith("job_"))
    first = str(one.first_win) if one.first_win else "none"
    return (
        f"| {name} | {where} | {one.metric} {one.eevdf:.4g} {one.unit} | {ratio} | {bound} | {guards} | "
        f"{one.policy} {knobs} | {first} of {one.candidates}, {one.runs} runs |"
    )


def page(known: Sequence[Reached]) -> str:
    """The whole page."""
    batches = [one for one in known if one.case.workload.startswith("batch") and one.bound and not one.failure]
    near = sum((one.share or 0) >= NEAR_BOUND for one in batches)
    worse = [one for one in known if one.high < 1]
    now = measured_with()
    older = sum(one.of != now for one in known)
    lines = [
        "# What the planner reaches", "",
        f"Written by `make reach` on {datetime.now(UTC):%Y-%m-%d}. Each case is tuned from nothing (`schedcp compare "
        f"WORKLOAD --planners embedded --max-runs {RUNS}`), tier standard, virtual time. Ratios are to EEVDF on the "
        "same seeds (above 1: better, medians with 95 % intervals; bold: won surely); guards likewise. Only policies "
        "that keep their guards count.", "",
        f"- batches at 95 % of the bound of arithmetic or more: {near} of {len(batches)}",
        f"- surely worse than EEVDF: {', '.join(one.case.workload for one in worse) or 'none'}",
        f"- measured with an earlier planner, library or guest, and marked {OLDER}: {older} of {len(known)}", "",
        "| workload | CPUs | EEVDF | best | bound, reached | guards | policy | first sure win |",
        "|---|---|---|---|---|---|---|---|",
        *(row(one, now) for one in known),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def read_known(path: Path) -> dict[str, Reached]:
    """What an earlier run measured, by the cases' keys."""
    if not path.is_file():
        return {}
    rows = json.loads(path.read_text(encoding="utf-8"))
    return {Case(**one["case"]).key: Reached(**{**one, "case": Case(**one["case"])}) for one in rows}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what is not known (of the workloads named, or of all) and write the page."""
    parser = argparse.ArgumentParser(prog="reach", description=__doc__)
    parser.add_argument("workloads", nargs="*", help="measure those anew; without any, what is not known yet")
    asked = parser.parse_args(argv).workloads
    settings = load_settings()
    path = settings.cache_dir / NAME
    known = read_known(path)
    for case in cases():
        if case.workload not in asked if asked else case.key in known:
            continue
        try:
            found = measure(case, settings)
        except SchedcpError as error:
            found = Reached(case, failure=f"{error}"[:120].replace("|", "/"))
        found = replace(found, of=measured_with())
        known[case.key] = found
        sys.stdout.write(row(found, found.of) + "\n")
        sys.stdout.flush()
        atomic_write(path, json.dumps([asdict(one) for one in known.values()], indent=1).encode())
    PAGE.write_text(page([known[case.key] for case in cases() if case.key in known]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

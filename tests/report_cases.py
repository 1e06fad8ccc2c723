# SPDX-License-Identifier: Apache-2.0
"""A lake for the tests of the report's pages: runs, a night that got worse, a rollout, and names that nobody wants."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from flow_cases import PROFILE, REJECTION, candidate, score
from hostile import NAMES

from policy_lake.coverage import Branch, FileCoverage, counted
from policy_lake.lake import Lake
from policy_lake.model import Authored, Knob, Lesson, Policy, Verdict, to_json
from policy_lake.records import HostAudit, Regression, Rejected, Rollout, Run
from policy_lake.rollout import (
    Attached,
    Decision,
    End,
    Judgement,
    Metric,
    Reading,
    RolloutDone,
    RolloutPlan,
    Step,
    StepDone,
    Why,
    Window,
)
from policy_lake.scores import Ratio
from policy_lake.tuned import NoSummary, RunError, TunedBaseline, TunedBest, TuneResult
from tasks.host.settings import Settings
from tasks.run.batch import Evidence

SOURCE = "int a;\nif (a)\n\treturn;\n"
LJF = Policy(
    "ljf", "Longest job first", "Long jobs start first.", "batches", "latency", SOURCE,
    (Knob("slice_ns", "int", "20000000", "a turn", 1, 9, "ns"),),
)  # fmt: skip


def tuned(id: str, day: str, low: float, **more: Any) -> Run:
    """A run that is done, whose best has an interval from `low` on."""
    ratio = Ratio(low + 0.02, (low, low + 0.04))
    baseline = TunedBaseline("eevdf", "makespan_s", "s", 1.5)
    best = TunedBest("ljf", {}, f"ljf-{id}", ratio, "win", 1.4, "virtual", "2 CPUs", baseline, "/t.json")
    summary = TuneResult(id, "batch", (), best, 2, 1, 0, {"total": 9.0}, None, stopped="bound")
    return Run(id, "batch", "done", f"{day}T01:00:00+00:00", f"{day}T01:09:00+00:00", "ljf", summary, **more)


def rollout(id: str = "rollout-1", name: str = "web-1", policy: str = "ljf") -> Rollout:
    """A rollout that was taken back, of two windows."""
    plan = RolloutPlan("mixed", (Step("one", "full"),), (Metric("p99_us", critical=True),))
    on, off = Attached(True, policy, 1), Attached(False)
    windows = (
        Window(name, 1, "policy", on, on, 20.0, {"p99_us": 120.0}),
        Window(name, 1, "baseline", off, off, 20.0, {"p99_us": 80.0}),
    )
    readings = (Reading("p99_us", 1, 0, 1.5, 1.2, 1.9), Reading("p99_us", 1, 0, 1.5, 0.0, None, name))
    judgement = Judgement(Decision.ROLL_BACK, Why.HARM, "p99_us", name, readings)
    done = RolloutDone(End.ROLLED_BACK, (StepDone("one", (name,), judgement),), "one", name, "p99_us")
    audit = HostAudit(name, 1, "", ("{}", "{}"), "ab" * 32, "log")
    started, ended = "2026-11-28T10:00:00+00:00", "2026-11-28T10:09:00+00:00"
    return Rollout(id, "batch", policy, "cd" * 32, (name,), plan, started, ended, windows, done, (audit,))


def fill(lake: Lake, settings: Settings) -> None:
    """Two nights of which the second is worse, a killed run, a failed one, a policy that was made, a rollout."""
    first, second = tuned("night-1", "2026-11-26", 1.30), tuned("night-2", "2026-11-27", 1.10)
    best = [candidate("ljf-night-1", run_id="night-1"), replace(candidate("ljf-night-2", run_id="night-2"),
                                                                parent="ljf-night-1")]  # fmt: skip
    best = [replace(one, source=SOURCE) for one in best]
    guards = ({"p99_us": Ratio(0.9, (0.8, 1.0))}, {"p99_us": Ratio(1.1, (1.0, 1.2))})
    scores = [score(of, median, ratios=ratios) for of, median, ratios in zip(best, (1.32, 1.12), guards, strict=True)]
    bad = replace(candidate("rr-1", run_id="night-2"), policy="rr")
    authored = Authored("patch", "a-model", run_id="night-2", lineage=("ljf", "gone"), tokens=1200)
    made = replace(LJF, id="ljf-made", origin="model", authored=authored)
    lake.put(
        LJF, made, PROFILE, first, second, *best, *scores, bad, Rejected(bad, REJECTION, "batch"),
        Run("failed-1", "batch", "failed", "2026-11-27T02:00:00+00:00", summary=RunError("no disk")),
        Run("open-1", "batch", "cancelled", "2026-11-25T02:00:00+00:00", summary=NoSummary()),
        Lesson("l1", "night-1", "batch", "ljf", "long jobs first"), rollout(),
        Regression("r1", "ljf", "cpus=2;W1", "F18", "it stalls"),
    )  # fmt: skip
    keep_verdict(settings, "night-2", "ljf-night-2", "ljf")


def keep_verdict(settings: Settings, run: str, made: str, policy: str) -> None:
    """The verdict of a candidate of which line 3 of the source never ran."""
    file = f"{policy}.bpf.c"
    branch = Branch("ljf_enqueue", file, 2, 5, 0, "not tried", "ran", jumped_to=3)
    coverage = counted(("ljf_enqueue",), (FileCoverage(file, (2,), (3,)),), (branch,))
    evidence = Evidence(Verdict(True, None, (), "ljf", coverage=coverage), (), "")
    path = settings.run_dir / run / f"{made}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(to_json(evidence)))


def fill_hostile(lake: Lake, settings: Settings) -> None:
    """Every name that nobody wants, wherever a record has one."""
    for number, name in enumerate(text for text in NAMES.values() if "\udc80" not in text):
        run = tuned(f"{name}{number}", "2026-11-27", 1.2)
        summary = replace(run.summary, best=replace(run.summary.best, policy=name, topology=name))
        made = replace(candidate(f"{name}-c{number}", run_id=run.id), policy=name, source=f"// {name}\n",
                       knob_values={"job_comm": name}, reason=name, planner=name)  # fmt: skip
        kept = replace(
            LJF, id=name, title=name, summary=name, good_for=name, weak_at=name, source=f"// {name}\n", origin="model",
            knobs=(Knob("x", "names", name, name),), mechanisms=((name, name),),
            authored=Authored("patch", name, run_id=run.id, lineage=(name,)),
        )  # fmt: skip
        scored = replace(score(made), policy=name, metric=name, workload=name, kernel=name, topology=name,
                         ratios={f"{name}2": Ratio(1.0, (0.9, 1.1))})  # fmt: skip
        failed = replace(REJECTION, reason=name, evidence=name)
        lake.put(
            kept, replace(PROFILE, id=name, workload=name, goal=name), replace(run, workload=name, summary=summary),
            made, scored, replace(score(made), id=f"{name}{number}2", policy=name, run_id=run.id, candidate="x"),
            Rejected(replace(made, id=f"{name}r"), failed, name), Lesson(name, run.id, name, name, name),
            Run(f"{name}f", name, "failed", name, name, name, RunError(name)), rollout(name, name, name),
            Regression(name, name, name, name, name),
        )  # fmt: skip


def texts_of(directory: Path) -> dict[str, str]:
    """Every page by its place in the report."""
    return {str(path.relative_to(directory)): path.read_text() for path in sorted(directory.rglob("*.html"))}

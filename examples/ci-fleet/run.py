#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A fleet that builds software, from looking at it to a canary and back: see README.md.

Each step is a command of `schedcp` that a person could type; what this file adds is their order, the arithmetic of
build minutes, and the story as a page.
"""

from __future__ import annotations

import argparse
import html
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
METRIC = "schedcp_workload_makespan_ms"
BAD = ROOT / "bpf/library/shortest.bpf.c"  # sound, and meant to be the wrong order for builds; README.md: not surely so
USD_A_MINUTE = 0.008  # of a hosted runner with 2 CPUs; an assumption, set your own
PROMOTED, ROLLED_BACK = 0, 3
Run = Callable[..., dict[str, Any]]


@dataclass
class Story:
    """What was typed, what it said, how long it took, in order."""

    variant: str
    steps: list[tuple[str, str, str, float]] = field(default_factory=list)

    def tell(self, title: str, command: str, said: str, seconds: float) -> None:
        """Keep a step."""
        self.steps.append((title, command, said, seconds))
        sys.stdout.write(f"== {title} ({seconds:.0f} s)\n{said}\n")
        sys.stdout.flush()


class StepError(Exception):
    """A command ended otherwise than it may."""


def runner(place: Path) -> Run:
    """`schedcp` in a data directory of its own, with the JSON that it prints; StepError for another exit status."""
    environment = {**os.environ, "SCHEDCP_DATA_DIR": str(place / "data")}

    def run(*words: str | Path, status: tuple[int, ...] = (0,)) -> dict[str, Any]:
        done = subprocess.run(
            ["schedcp", *map(str, words), "--json"], stdout=subprocess.PIPE, cwd=place, env=environment, check=False
        )
        if done.returncode not in status:
            raise StepError(f"`schedcp {' '.join(map(str, words))}` ended with {done.returncode}")
        return {**json.loads(done.stdout), "status": done.returncode}

    return run


@dataclass(frozen=True)
class Minutes:
    """Build minutes by arm: the median build in ms under the host's own scheduler and under the policy, and windows."""

    before_ms: float
    after_ms: float
    windows: tuple[int, int]

    @property
    def change(self) -> float:
        """By how much a build takes longer; below 0: it is quicker."""
        return self.after_ms / self.before_ms - 1.0

    def a_month(self, minutes: float, usd_a_minute: float) -> tuple[float, float, float]:
        """(minutes then, dollars then, dollars saved) of a month that had so many build minutes before."""
        after = minutes * self.after_ms / self.before_ms
        return after, after * usd_a_minute, (minutes - after) * usd_a_minute


def minutes_of(rollout: dict[str, Any]) -> Minutes | None:
    """What a rollout's windows say of builds; None where one of the two arms has no window."""
    by_arm: dict[str, list[float]] = {"baseline": [], "policy": []}
    for window in rollout["windows"]:
        if METRIC in window["values"]:
            by_arm[window["arm"]].append(window["values"][METRIC])
    before, after = by_arm["baseline"], by_arm["policy"]
    if not before or not after:
        return None
    return Minutes(statistics.median(before), statistics.median(after), (len(before), len(after)))


def in_hours(hours: str, now: datetime) -> bool:
    """Whether a canary may begin now: `9-17` is from nine to five, Monday to Friday; empty is always."""
    if not hours:
        return True
    first, _, last = hours.partition("-")
    return now.weekday() < 5 and int(first) <= now.hour < int(last)


def choose(run: Run, story: Story, variant: str) -> tuple[str, str]:
    """The token and the object of the policy that is to go onto the hosts: what won, or the bad one."""
    began = time.monotonic()
    if variant == "bad":
        told = run("verify", BAD, "--for", "fleet.json")
        said = f"{BAD.name} is sound: it was accepted. Whether it is good for builds, no verifier asks."
        story.tell("A policy that somebody found", f"schedcp verify {BAD.name} --for fleet.json", said,
                   time.monotonic() - began)  # fmt: skip
        return told["token"], f"data/objects/{told['object_sha256']}.bpf.o"
    words = ("tune", HERE / "builds.toml", "--for", "fleet.json", "--iterations", "1")
    told = run(*words)
    best = told["best"]
    if best is None or not best["token"]:
        raise StepError("nothing won that could be signed: the report is in data/runs/")
    low, high = best["ratio"]["ci95"]
    said = (
        f"{told['candidates_tried']} candidates were tried in micro-VMs, {told['rejected']} rejected. "
        f"{best['policy']} is {best['ratio']['median']:.2f}x [{low:.2f}, {high:.2f}] as quick as "
        "EEVDF, and was signed for these hosts."
    )
    story.tell("Observe the builds, choose a policy, verify it", "schedcp tune builds.toml --for fleet.json", said,
               time.monotonic() - began)  # fmt: skip
    shown = run("token", "show", best["token"])
    return best["token"], f"data/objects/{shown['token']['object_sha256']}.bpf.o"


def canary(run: Run, story: Story, token: str, object_file: str, hosts: list[str]) -> dict[str, Any]:
    """The rollout as it ended, with its windows."""
    began = time.monotonic()
    words = ["rollout", token, "--object", object_file, "--plan", HERE / "plan.toml", "--on-doubt", "stop"]
    told = run(*words, *(word for host in hosts for word in ("--host", host)), status=(0, 1, 3))
    (entry,) = (one for one in run("lake", "show", told["id"])["entries"] if one["kind"] == "rollouts")
    done = told["done"]
    why = f" ({done['why']})" if done["why"] else ""
    said = f"It ended as {done['end'].replace('_', ' ')}{why}, after {len(entry['data']['windows'])} windows."
    story.tell("A canary beside the hosts' own scheduler", "schedcp rollout TOKEN --plan plan.toml", said,
               time.monotonic() - began)  # fmt: skip
    return {**entry["data"], "end": done["end"], "exit": told["status"]}


def count(story: Story, found: Minutes | None, minutes: float, usd: float) -> None:
    """The arithmetic of build minutes, with what it assumes."""
    if found is None:
        story.tell("Build minutes", "", "No window of both arms was measured: nothing can be said of minutes.", 0.0)
        return
    after, cost, saved = found.a_month(minutes, usd)
    verb = "saved" if saved >= 0 else "lost"
    said = (
        f"A build took {found.before_ms:.0f} ms under EEVDF and {found.after_ms:.0f} ms under the policy "
        f"({100 * found.change:+.0f} %; medians of {found.windows[0]} and {found.windows[1]} windows). A month of "
        f"{minutes:,.0f} build minutes at ${usd:g} would be {after:,.0f} minutes, ${cost:,.2f}: "
        f"${abs(saved):,.2f} {verb}."
    )
    story.tell("Build minutes before and after", "", said, 0.0)


def page_of(story: Story) -> str:
    """The story as one page, which needs nothing else."""
    parts = []
    for title, command, said, seconds in story.steps:
        typed = f"<pre>$ {html.escape(command)}</pre>" if command else ""
        took = f" <small>{seconds:.0f} s</small>" if seconds else ""
        parts.append(f"<h2>{html.escape(title)}{took}</h2>{typed}<p>{html.escape(said)}</p>")
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>A fleet that builds: {html.escape(story.variant)}</title><style>:root {{ color-scheme: light dark }} "
        "body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem; "
        "overflow-wrap: anywhere } pre { overflow-x: auto }</style>"
        f"<h1>A fleet that builds: the {html.escape(story.variant)} policy</h1>{''.join(parts)}"
        '<p><a href="report/index.html">All that the lake holds of it</a></p></html>\n'
    )


def tell_all(run: Run, place: Path, given: argparse.Namespace, now: datetime) -> int:
    """The example from the first command to the last; its exit status."""
    story, hosts = Story(given.variant), [f"ci-{number}" for number in range(1, given.hosts + 1)]
    wanted = "rolled_back" if given.variant == "bad" else "promoted"
    ended = ""
    began = time.monotonic()
    trusted = run("verifierd", "trust", "trust")
    (place / "trust/allow-lab").write_text(f"{trusted['key_id']}\n")
    fleet = ("fleet", "up", "--name", "ci", "--hosts", str(given.hosts), "--cpus", str(given.cpus))
    try:
        run(*fleet, "--trust", "trust", "-w", HERE / "builds.toml")
        run("host", "describe", hosts[0], "-o", "fleet.json")
        said = f"{given.hosts} hosts with {given.cpus} CPUs build all day, under EEVDF."
        story.tell("A fleet that builds", f"schedcp {' '.join(fleet)} -w builds.toml", said, time.monotonic() - began)
        token, object_file = choose(run, story, given.variant)
        if not in_hours(given.hours, now):
            story.tell("Not now", "", f"A canary begins at {given.hours} o'clock only, Monday to Friday.", 0.0)
        else:
            seen = canary(run, story, token, object_file, hosts)
            ended = seen["end"]
            count(story, minutes_of(seen), given.minutes, given.usd)
        began = time.monotonic()
        stopped = run("stop", *(word for host in hosts for word in ("--host", host)))
        off = sum(one["stopped"] for one in stopped["hosts"])
        story.tell("One switch stops it all", "schedcp stop --host ...", f"{off} of {len(hosts)} hosts have nothing of "
                   "ours on, and take nothing until somebody says so there.", time.monotonic() - began)  # fmt: skip
    finally:
        run("fleet", "down", "--name", "ci")
    run("report", "--html", "report")
    (place / "story.html").write_text(page_of(story), encoding="utf-8")
    sys.stdout.write(f"story: {place}/story.html\n")
    return 0 if ended == wanted else 1


def parse(words: list[str]) -> argparse.Namespace:
    """The words of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variant", nargs="?", choices=("good", "bad"), default="good")
    parser.add_argument("--hosts", type=int, default=1, help="build hosts; the canary is the first")
    parser.add_argument("--cpus", type=int, default=2, help="of each host")
    parser.add_argument("--hours", default="", help="when a canary may begin, such as 9-17; any time without it")
    parser.add_argument("--minutes", type=float, default=100_000.0, help="build minutes of a month, for the sum")
    parser.add_argument("--usd", type=float, default=USD_A_MINUTE, help="what one of them costs")
    parser.add_argument("--out", type=Path, default=Path("ci-fleet"), help="where it keeps everything")
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    """Run the example: 0 as its variant should end, 1 otherwise, 4 where a command failed."""
    given = parse(words)
    place = given.out.absolute()
    place.mkdir(parents=True, exist_ok=True)
    try:
        return tell_all(runner(place), place, given, datetime.now())
    except StepError as error:
        sys.stderr.write(f"ci-fleet: {error}\n")
        return 4


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

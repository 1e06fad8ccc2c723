# SPDX-License-Identifier: Apache-2.0
"""`schedcp nights` and its sub-commands: read from the lake, told in lines or as JSON."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

from control_plane.night_outputs import NightsBisectOutput, NightsNotifyOutput, NightsOutput
from control_plane.output import escape, out, print_json, working
from policy_lake.errors import InputError
from policy_lake.night import Cause, NightChange
from tasks.host.lake import open_lake
from tasks.host.settings import load_settings
from tasks.nights.bisect import bisect
from tasks.nights.series import history, latest
from tasks.nights.tell import check_url, make_automations, words_of

READING = "reading the lake"
NONE = "no nights yet: prefect.yaml deploys them, and `schedcp runs` lists every run"


def nights_command(*, as_json: bool) -> None:
    """The last night of each workload."""
    with working(READING):
        changes = latest(open_lake(load_settings()))
    _print(changes, as_json=as_json)


def show_command(workload: str, *, as_json: bool) -> None:
    """All nights of one."""
    with working(READING):
        changes = history(open_lake(load_settings()), workload)
    _print(changes, as_json=as_json)


def bisect_command(workload: str, *, as_json: bool) -> None:
    """The cause of the latest change of a digit."""
    with working(READING):
        cause = bisect(open_lake(load_settings()), workload)
    if as_json:
        print_json("nights bisect", NightsBisectOutput(workload, cause))
        return
    _say([f"{workload}: no digit has changed between its nights"] if cause is None else cause_lines(cause))


def notify_command(url: str, *, as_json: bool) -> None:
    """The automations, made anew."""
    from tasks.fleet.environment import prepare_environment
    from tasks.fleet.reach import check_reachable

    check_url(url)
    if not os.environ.get("PREFECT_API_URL"):
        raise InputError("PREFECT_API_URL is not set: it names the Prefect server that is to tell (`make ui`)")
    prepare_environment()
    check_reachable()
    with working("making automations"):
        made = make_automations(url)
    if as_json:
        print_json("nights notify", NightsNotifyOutput(tuple(made)))
        return
    _say(f"made: {name}" for name in made)


def _print(changes: Sequence[NightChange], *, as_json: bool) -> None:
    if as_json:
        print_json("nights", NightsOutput(tuple(changes)))
        return
    _say([f"{one.kind:<10} {one.night.started[:16]}  {words_of(one)}" for one in changes] or [NONE])


def cause_lines(cause: Cause) -> Iterator[str]:
    """What changed, and because of what."""
    what = f"{cause.workload}: {cause.metric} of {cause.policy or 'EEVDF'}"
    yield f"{what} was {cause.before:.6g} in {cause.nights[0]} and is {cause.now:.6g} in {cause.nights[1]}"
    for name, (before, now) in cause.cause.items():
        yield f"  because of {name}: {before} -> {now}"
    for name, (before, now) in cause.suspects.items():
        yield f"  changed beside it, and no run tells whether it matters: {name}: {before} -> {now}"


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        out().print(escape(line), soft_wrap=True)

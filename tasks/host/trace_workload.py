# SPDX-License-Identifier: Apache-2.0
"""A recorded trace as a workload: the descriptor that goes with it."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.descriptor import Kind
from benchmarks.trace.file import read_trace
from benchmarks.trace.kinds import kind_of
from benchmarks.trace.program import check_names
from policy_lake.errors import InputError
from policy_lake.limits import CPUS, TIMEOUT_S, WORKLOAD_FOOTPRINT_KIB
from policy_lake.show import for_terminal, name_shown, shortened

_TEXT = """\
# SPDX-License-Identifier: Apache-2.0
# Made from a recording by `schedcp workloads add`: change what you like.
id = "{id}"
title = {title}
goal = {goal}
family = "own"
kind = "{kind}" # {told}
program = "replay"
trace = {trace}
args = [
    "{{trace}}", "--jitter-permille", "{{jitter_permille}}", "--seed", "{{seed}}",
    "--footprint-kib", "{{footprint_kib}}",
]
{measured}
timeout_s = {timeout_s:.0f}.0
cpus = {cpus}
runs_s = {{ smoke = {smoke_s:.1f}, standard = {standard_s:.1f}, full = {full_s:.1f} }}

[work.all]
footprint_kib = 256 # of a process of whose command nothing is known, on a machine with caches (--machine): a guess
jitter_permille = 20 # bursts vary by 2 % from seed to seed, as they do from run to run
skip_permille = {skip} # of the CPU time, before the piece that a tier replays
cpu_ms = {standard_ms} # how much CPU time that piece has
[work.smoke]
cpu_ms = {smoke_ms}
[work.full]
skip_permille = 0
cpu_ms = {full_ms}

{guards}{footprints}"""
_MAKESPAN = """\
metric = "makespan_ms"
unit = "ms"
direction = "lower"
bound = "bound_ms\""""
_ANSWER = """\
metric = "answer_p99_us" # from a request (a timer, a message) to its answer, through all tasks that hand it on
unit = "us"
direction = "lower\""""
_MEAN_END = """\
[[guards]]
metric = "mean_end_ms" # of the tasks: what whoever waits for one of them waits
unit = "ms"
direction = "lower"
limit = 1.1
"""
_THROUGHPUT = """\
[[guards]]
metric = "answers_per_s" # throughput must not be paid for a short tail
unit = "answers/s"
direction = "higher"
limit = 1.1
"""
# Who starts a build waits for the end of its last process, and nobody for that of another one: nothing to guard.
_GUARDS: Mapping[Kind, str] = {"batch": _MEAN_END, "build": "", "service": _THROUGHPUT}
_END = "Shorten the makespan: the time from the start of {command} to its exit."
_GOALS: Mapping[Kind, str] = {
    "batch": _END,
    "build": _END,
    "service": "Shorten the tail of the answers of {command}: the time from a request to its answer.",
}
_FOOTPRINTS = """
[footprints_kib] # of a process by the name of its command, in place of what the recording tells
"""
_SMOKE_MS, _STANDARD_MS, _SKIP = 700, 12000, 300
_LONGEST_ID = 64


def workload_of_trace(
    path: Path, id: str = "", *, kind: Kind | None = None, footprints_kib: Mapping[str, int] | None = None
) -> str:
    """A descriptor to lie beside the trace in `path`, with working sets of the user's by command.

    Metric, bound and guards are those of its kind, which the trace tells if it is not given.
    InputError if the file is no trace, there is no id in its name, or no task of it is called so.
    """
    trace, asked = read_trace(path), footprints_kib or {}
    check_names(trace, asked, "--footprint")
    made = id_of_name(path, id)
    total_ms = max(1, int(trace.after_us.sum()) // 1000)
    wall_s = trace.info.wall_us / 1e6
    standard_ms, smoke_ms = min(total_ms, _STANDARD_MS), min(total_ms, _SMOKE_MS)
    command = for_terminal(name_shown(trace.info.command))
    is_of, told = (kind, "as was said") if kind else kind_of(trace)
    return _TEXT.format(
        id=made, title=_quoted(f"{command}, recorded: {trace.tasks} tasks, {total_ms / 1e3:.1f} s of CPU time"),
        goal=_quoted(_GOALS[is_of].format(command=command)), kind=is_of, told=told,
        measured=_ANSWER if is_of == "service" else _MAKESPAN, guards=_GUARDS[is_of],
        trace=_quoted(path.name), cpus=min(trace.info.cpus, int(CPUS.high)),
        skip=_SKIP if total_ms > 2 * _STANDARD_MS else 0,
        timeout_s=min(max(60.0, 10 * wall_s), TIMEOUT_S.high),
        smoke_ms=smoke_ms, standard_ms=standard_ms, full_ms=total_ms,
        smoke_s=max(0.1, wall_s * smoke_ms / total_ms), standard_s=max(0.1, wall_s * standard_ms / total_ms),
        full_s=max(0.1, wall_s), footprints=_table(asked),
    )  # fmt: skip


def id_of_name(path: Path, id: str = "") -> str:
    """The id that a trace of that name becomes a workload under; InputError for a name that makes none."""
    if not path.name.isprintable():
        raise InputError(f"{path}: a character in its name cannot be printed, and a descriptor has to name it")
    made = id or re.sub(r"[^a-z0-9]+", "-", path.stem.lower())[:_LONGEST_ID].strip("-")
    if not re.match(r"[a-z]", made):
        raise InputError(f"{path}: its name must begin with a letter, for it becomes the workload's id")
    return made


def _table(footprints_kib: Mapping[str, int]) -> str:
    lines = "".join(f"{_quoted(name)} = {kib}\n" for name, kib in footprints_kib.items())
    return _FOOTPRINTS + lines if lines else ""


def footprints_in(words: Iterable[str]) -> dict[str, int]:
    """Working sets in KiB from `NAME=KIB` words; InputError for one that is none, or given twice."""
    found: dict[str, int] = {}
    for word in words:
        name, equals, number = word.rpartition("=")
        shown = for_terminal(shortened(word, 60))
        if not equals or name in found:
            raise InputError(f"--footprint '{shown}': not NAME=KIB, each name once")
        try:
            found[name] = int(WORKLOAD_FOOTPRINT_KIB.parse(number))
        except InputError as error:
            raise InputError(f"--footprint '{shown}': {error}") from None
    return found


def _quoted(text: str) -> str:
    """As a string of TOML: JSON's escapes are among its own."""
    return json.dumps(text).replace("\x7f", "\\u007f")


def id_in(text: str) -> str:
    """The id in a descriptor that `workload_of_trace` made."""
    return str(tomllib.loads(text)["id"])

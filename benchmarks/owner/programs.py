# SPDX-License-Identifier: Apache-2.0
"""hackbench (rt-tests 2), hyperfine 1, fio 3 and schbench, which are or run the load themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from benchmarks.owner.metric import OwnerMetric, latency, named, shown
from benchmarks.owner.text import Tool, checked, line, lines_of
from benchmarks.schbench import read_output
from policy_lake.errors import InputError
from policy_lake.limits import OWNER_TEXT_BYTES
from policy_lake.printed import number, take

_HYPERFINE, _FIO = "hyperfine", "fio"


def _seconds(name: str, value: float, source: str) -> OwnerMetric:
    return OwnerMetric(name, value, "s", "lower", source)


HACKBENCH = Tool(
    "hackbench",
    re.compile(r"Running in (?:process|threaded) mode with .*"),
    re.compile(r"Time: [\d.]+"),
    (
        line(r"Running in (?:process|threaded) mode with \d+ groups using \d+ file descriptors each \(== \d+ tasks\)"),
        line(r"Each sender will pass \d+ messages of \d+ bytes"),
        line(r"Time: ([\d.]+)", lambda match: [_seconds("time_s", float(match[1]), "hackbench")]),
    ),
    ("time_s",),
)


def hyperfine(text: str) -> tuple[OwnerMetric, ...]:
    """Each command's mean, median and longest time, from --export-json; of several, as `command_1_mean_s`.

    A command that failed in any run is an InputError: its times are of something else.
    """
    results = take(
        _object(_HYPERFINE, text, "--export-json FILE"), "results", list[Any], where=_HYPERFINE, error=InputError
    )
    found = []
    for index, result in enumerate(results, 1):
        where = f"{_HYPERFINE}, results[{index - 1}]"
        row = _mapping(result, where)
        codes = take(row, "exit_codes", list[Any], where=where, error=InputError)
        if bad := [code for code in codes if code != 0]:
            raise InputError(f"{where}: {len(bad)} of {len(codes)} runs of '{shown(row.get('command'))}' failed")
        of = f"command_{index}_" if len(results) > 1 else ""
        found += [
            _seconds(f"{of}{name}_s", number(row, name, where=where, error=InputError), _HYPERFINE)
            for name in ("mean", "median", "max")
        ]
    return checked(_HYPERFINE, found, ("mean_s",) if len(results) == 1 else ("command_1_mean_s",))


def fio(text: str) -> tuple[OwnerMetric, ...]:
    """Operations per second and completion latencies of each job and direction, from --output-format=json."""
    jobs = take(_object(_FIO, text, "--output-format=json"), "jobs", list[Any], where=_FIO, error=InputError)
    found: list[OwnerMetric] = []
    for index, each in enumerate(jobs):
        where = f"{_FIO}, jobs[{index}]"
        job = _mapping(each, where)
        if error := take(job, "error", int, where=where, error=InputError):
            raise InputError(f"{where}: ended with error {error}")
        for way in ("read", "write"):
            done = take(job, way, dict[str, Any], where=where, error=InputError)
            if number(done, "total_ios", where=where, error=InputError):
                found += _direction(done, f"job_{index + 1}_{way}_" if len(jobs) > 1 else f"{way}_", f"{where}.{way}")
    if not found:
        raise InputError(f"{_FIO}: no job read or wrote anything")
    return checked(_FIO, found, ())


def _direction(done: Mapping[str, Any], of: str, where: str) -> list[OwnerMetric]:
    rate = number(done, "iops", where=where, error=InputError)
    taken = take(done, "clat_ns", dict[str, Any], where=where, error=InputError)
    found = [
        OwnerMetric(f"{of}operations_per_s", rate, "operations/s", "higher", _FIO),
        latency("mean", number(taken, "mean", where=where, error=InputError) / 1e3, _FIO, of=of),
    ]
    at = take(taken, "percentile", dict[str, Any], where=where, error=InputError) if "percentile" in taken else {}
    for field, which in (("50.000000", "p50"), ("95.000000", "p95"), ("99.000000", "p99")):
        if field in at:  # fio prints those that its option percentile_list names
            value = number({which: at[field]}, which, where=f"{where}.clat_ns.percentile", error=InputError)
            found.append(latency(which, value / 1e3, _FIO, of=of))
    return found


def schbench(text: str) -> tuple[OwnerMetric, ...]:
    """schbench's percentiles and rates, from its text or its JSON."""
    return tuple(named(name, value, "schbench") for name, value in read_output(text, "", where="schbench").items())


def _object(tool: str, text: str, option: str) -> Mapping[str, Any]:
    if len(text) > OWNER_TEXT_BYTES:
        raise InputError(f"{tool}: more than {OWNER_TEXT_BYTES >> 20} MiB of output")
    try:
        return _mapping(json.loads(text), tool)
    except RecursionError:
        raise InputError(f"{tool}: its JSON is nested too deep") from None
    except json.JSONDecodeError as error:
        there = shown(lines_of(text, tool)[error.lineno - 1])
        raise InputError(f"{tool}, line {error.lineno}: '{there}' is no JSON: run it with {option}") from None
    except ValueError:
        raise InputError(f"{tool}: a number in its JSON has too many digits") from None


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: not a JSON object")
    return value

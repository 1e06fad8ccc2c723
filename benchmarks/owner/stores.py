# SPDX-License-Identifier: Apache-2.0
"""redis-benchmark 7 and pgbench 15, which load a key-value store and a database."""

from __future__ import annotations

import csv
import re

from benchmarks.owner.metric import US, OwnerMetric, latency, requests, shown
from benchmarks.owner.text import Tool, checked, line, lines_of, read_text
from policy_lake.errors import InputError

_REDIS = "redis-benchmark"
_QUIET = re.compile(r"(.+?): ([\d.]+) requests per second, p50=([\d.]+) msec", re.ASCII)
_HEAD = re.compile(r"====== (.+) ======", re.ASCII)
_THROUGHPUT = re.compile(r"  throughput summary: ([\d.]+) requests per second", re.ASCII)
_COLUMNS = re.compile(r" +avg +min +p50 +p95 +p99 +max", re.ASCII)
_WITHIN = re.compile(
    r"|  \d+ requests completed in [\d.]+ seconds|  \d+ parallel clients|  \d+ bytes payload|  keep alive: \d"
    r"|  host configuration .*|  (?:multi-thread|threads|cluster mode): .*|\s+node \[\d+\] .*"
    r"|(?:Latency by percentile distribution|Cumulative distribution of latencies|Summary|  latency summary \(msec\)):"
    r"|[\d.]+% <= [\d.]+ milliseconds \(cumulative count \d+\)| +avg +min +p50 +p95 +p99 +max", re.ASCII,
)  # fmt: skip
_CSV = ("test", "rps", "avg_latency_ms", "min_latency_ms", "p50_latency_ms", "p95_latency_ms", "p99_latency_ms",
        "max_latency_ms")  # fmt: skip
_WHICH = {"avg": "mean", "p50": "p50", "p95": "p95", "p99": "p99", "max": "max"}


def redis_benchmark(text: str) -> tuple[OwnerMetric, ...]:
    """Each command's rate and latencies, under its name (`set_requests_per_s`); whole output, --csv or -q."""
    lines = lines_of(text, _REDIS)
    head = ",".join(f'"{column}"' for column in _CSV)
    if head in lines:
        found = _csv(lines, lines.index(head))
    elif any(_HEAD.fullmatch(each) for each in lines):
        found = _whole(lines)
    else:
        found = _quiet(lines)
    if not found:
        raise InputError(f"{_REDIS}: none of {len(lines)} lines is of its output: another tool's, or another version's")
    return checked(_REDIS, found, ())


def _csv(lines: list[str], head: int) -> list[OwnerMetric]:
    found = []
    for number, row in enumerate(csv.reader(lines[head + 1 :]), head + 2):
        if not row:
            continue
        try:
            numbers = [float(cell) for cell in row[1:]]
        except ValueError:
            numbers = []
        if len(numbers) != len(_CSV) - 1:
            raise InputError(f"{_REDIS}, line {number}: not {len(_CSV)} cells, numbers after the first")
        said = dict(zip(_CSV[1:], numbers, strict=True))
        of = _prefix(row[0])
        found.append(requests(said["rps"], _REDIS, of=of))
        found += [
            latency(which, said[f"{name}_latency_ms"] * US["ms"], _REDIS, of=of) for name, which in _WHICH.items()
        ]
    return found


def _whole(lines: list[str]) -> list[OwnerMetric]:
    """The blocks that begin with `====== SET ======` and end with a row of latencies under their names."""
    found: list[OwnerMetric] = []
    of, begun, columns = "", 0, False
    for number, each in enumerate(lines, 1):
        if head := _HEAD.fullmatch(each):
            if begun:
                raise InputError(f"{_REDIS}, line {number}: the output of line {begun} has no latency summary")
            of, begun = _prefix(head[1]), number
        elif rate := _THROUGHPUT.fullmatch(each):
            found.append(requests(float(rate[1]), _REDIS, of=of))
        elif columns:
            found += _row(each.split(), number, of)
            begun = 0
        elif begun and not _WITHIN.fullmatch(each):
            raise InputError(f"{_REDIS}, line {number}: '{shown(each)}' is nothing that a known version prints")
        columns = bool(_COLUMNS.fullmatch(each))
    if begun:
        raise InputError(f"{_REDIS}, line {len(lines)}: the output of line {begun} has no latency summary: cut short")
    return found


def _row(cells: list[str], number: int, of: str) -> list[OwnerMetric]:
    try:
        values = dict(zip(("avg", "min", "p50", "p95", "p99", "max"), map(float, cells), strict=True))
    except ValueError:
        raise InputError(f"{_REDIS}, line {number}: not six numbers under avg, min, p50, p95, p99, max") from None
    return [latency(which, values[name] * US["ms"], _REDIS, of=of) for name, which in _WHICH.items()]


def _quiet(lines: list[str]) -> list[OwnerMetric]:
    found: list[OwnerMetric] = []
    for number, each in enumerate(lines, 1):
        match = _QUIET.fullmatch(each)
        if match is None and each.strip():
            raise InputError(f"{_REDIS}, line {number}: '{shown(each)}' is nothing that a known version prints")
        if match is None:
            continue
        of = _prefix(match[1])
        found += [requests(float(match[2]), _REDIS, of=of), latency("p50", float(match[3]) * US["ms"], _REDIS, of=of)]
    return found


def _prefix(test: str) -> str:
    """The name of a test as the beginning of a metric's: `LPUSH (needed to …)` is `lpush_needed_to_…`."""
    words = re.sub(r"[^a-z0-9]+", "_", test.strip().lower()).strip("_")[:30]
    return f"{words if words[:1].isalpha() else f'test_{words}'}_"


PGBENCH = Tool(
    "pgbench",
    re.compile(r"pgbench \(1[4-8].*\)"),
    re.compile(r"tps = [\d.]+ \(without initial connection time\)"),
    (
        line(r"pgbench \(.*\)"),
        line(r"(?:transaction type|scaling factor|query mode|partition method|partitions|number of clients): .*"),
        line(r"(?:number of threads|maximum number of tries|duration|number of transactions per client): .*"),
        line(r"number of transactions (?:actually processed|retried|above the [\d.]+ ms latency limit): .*"),
        line(r"total number of retries: .*|number of (?:serialization|deadlock) failures: .*"),
        line(r"number of failed transactions: (\d+) \([\d.]+%\)", failed=True),
        line(r"number of transactions skipped: (\d+) \([\d.]+%\)", failed=True),
        line(
            r"latency average = ([\d.]+) ms(?: \(including failures\))?",
            lambda match: [latency("mean", float(match[1]) * US["ms"], "pgbench")],
        ),
        line(r"latency stddev = [\d.]+ ms|initial connection time = [\d.]+ ms|rate limit schedule lag: .*"),
        line(
            r"tps = ([\d.]+) \(without initial connection time\)",
            lambda match: [OwnerMetric("transactions_per_s", float(match[1]), "transactions/s", "higher", "pgbench")],
        ),
    ),
    ("transactions_per_s", "latency_mean_us"),
)


def pgbench(text: str) -> tuple[OwnerMetric, ...]:
    """Transactions per second without connecting, the mean latency, and how many failed or were skipped."""
    return read_text(PGBENCH, text)

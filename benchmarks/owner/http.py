# SPDX-License-Identifier: Apache-2.0
"""wrk 4 and ab 2.3, which load web servers."""

from __future__ import annotations

import re

from benchmarks.owner.metric import US, OwnerMetric, latency, requests
from benchmarks.owner.text import Tool, line

_SPAN = r"(-?[\d.]+)(us|ms|s|m|h)"  # as wrk's units.c writes them
_NUMBER = r"-?[\d.]+k?M?G?T?P?%?"


def _span_us(number: str, unit: str) -> float:
    return float(number) * US[unit]


def _wrk_mean(match: re.Match[str]) -> list[OwnerMetric]:
    return [latency("mean", _span_us(match[1], match[2]), "wrk"), latency("max", _span_us(match[3], match[4]), "wrk")]


def _wrk_percentile(match: re.Match[str]) -> list[OwnerMetric]:
    return [latency(_percentile(match[1]), _span_us(match[2], match[3]), "wrk")]


def _percentile(number: str) -> str:
    """`99` or `99.90` as p99 or p99.9."""
    return f"p{float(number):g}"


WRK = Tool(
    "wrk",
    re.compile(r"Running \S+ test @ .*"),
    re.compile(r"Transfer/sec: .*"),
    (
        line(r"Running \S+ test @ .*"),
        line(r" +\d+ threads and \d+ connections"),
        line(r" +Thread Stats .*|  Latency Distribution"),
        line(rf" +Latency +{_SPAN} +-?[\d.]+(?:us|ms|s|m|h) +{_SPAN} +[\d.]+%", _wrk_mean),
        line(rf" +Req/Sec(?: +{_NUMBER})+"),
        line(rf" +([\d.]+)% +{_SPAN}", _wrk_percentile),
        line(r" +\d+ requests in \S+, \S+ read"),
        line(r"  Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", failed=True),
        line(r"  Non-2xx or 3xx responses: (\d+)", failed=True),
        line(r"Requests/sec: +([\d.]+)", lambda match: [requests(float(match[1]), "wrk")]),
        line(r"Transfer/sec: +\S+"),
    ),
    ("requests_per_s", "latency_mean_us"),
)

_AB_SAID = (
    "Server Software|Server Hostname|Server Port|SSL/TLS Protocol|Server Temp Key|TLS Server Name|Document Path|"
    "Document Length|Concurrency Level|Time taken for tests|Complete requests|Keep-Alive requests|Total transferred|"
    "Total body sent|Total POSTed|Total PUT|HTML transferred|Transfer rate|Connect|Processing|Waiting|Total"
)


def _ab_percentile(match: re.Match[str]) -> list[OwnerMetric]:
    """Whole milliseconds: ab prints no more of them."""
    return [latency("max" if match[1] == "100" else _percentile(match[1]), float(match[2]) * US["ms"], "ab")]


AB = Tool(
    "ab",
    re.compile(r"This is ApacheBench, Version 2\.3 .*"),
    re.compile(r" 100% +\d+ \(longest request\)"),
    (
        line(
            r"This is ApacheBench, .*|Copyright .*|Licensed to .*|Benchmarking .*|(?:Completed|Finished) \d+ requests"
        ),
        line(rf"(?:{_AB_SAID}): .*| +min +mean.*| +\S+ kb/s (?:sent|total)|Connection Times \(ms\)"),
        line(r"WARNING: .*|Percentage of the requests served within a certain time \(ms\)|ERROR: .*| +These results.*"),
        # The sum of what is in brackets in the line below it.
        line(r"Failed requests: +(\d+)", failed=True),
        line(r" +\(Connect: \d+, Receive: \d+, Length: \d+, Exceptions: \d+\)"),
        line(r"(?:Write errors|Non-2xx responses): +(\d+)", failed=True),
        line(r"Requests per second: +([\d.]+) \[#/sec\] \(mean\)", lambda match: [requests(float(match[1]), "ab")]),
        line(
            r"Time per request: +([\d.]+) \[ms\] \(mean\)",
            lambda match: [latency("mean", float(match[1]) * US["ms"], "ab")],
        ),
        line(r"Time per request: +[\d.]+ \[ms\] \(mean, across all concurrent requests\)"),
        line(r" +(\d+)% +(\d+)(?: \(longest request\))?", _ab_percentile),
    ),
    ("requests_per_s", "latency_mean_us", "latency_p99_us"),
)

# SPDX-License-Identifier: Apache-2.0
"""The owner's metric, from what real load generators printed (tests/golden/owner: version, command, output)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.owner.metric import OwnerMetric, named
from benchmarks.owner.stated import from_json, from_page, from_pattern, read_pattern
from benchmarks.owner.tools import TOOLS, metrics_of
from policy_lake.errors import InputError
from policy_lake.limits import LONGEST_LINE, OWNER_TEXT_BYTES, PATTERN_CHARACTERS

GOLDEN = Path(__file__).parents[1] / "golden" / "owner"
# The file, its tool, and what it says.
REAL: dict[str, tuple[str, dict[str, float]]] = {
    "wrk": ("wrk", {
        "latency_mean_us": 2930, "latency_max_us": 54930, "latency_p50_us": 880, "latency_p75_us": 2900,
        "latency_p90_us": 6310, "latency_p99_us": 39470, "requests_per_s": 7300.65}),
    "wrk_plain": ("wrk", {}),
    "wrk_errors": ("wrk", {
        "latency_mean_us": 10820, "latency_max_us": 102010, "latency_p50_us": 192, "latency_p75_us": 14180,
        "latency_p90_us": 37940, "latency_p99_us": 84630, "requests_per_s": 5527.29, "failed_requests": 5977}),
    "ab": ("ab", {
        "requests_per_s": 977.02, "latency_mean_us": 8188, "latency_p50_us": 1000, "latency_p66_us": 1000,
        "latency_p75_us": 1000, "latency_p80_us": 1000, "latency_p90_us": 29000, "latency_p95_us": 48000,
        "latency_p98_us": 71000, "latency_p99_us": 86000, "latency_max_us": 209000, "failed_requests": 0}),
    "ab_errors": ("ab", {
        "requests_per_s": 7324.93, "latency_mean_us": 1092, "latency_p50_us": 1000, "latency_p66_us": 1000,
        "latency_p75_us": 1000, "latency_p80_us": 1000, "latency_p90_us": 1000, "latency_p95_us": 1000,
        "latency_p98_us": 1000, "latency_p99_us": 5000, "latency_max_us": 28000, "failed_requests": 500}),
    "redis_csv": ("redis-benchmark", {
        "set_requests_per_s": 14214.64, "set_latency_mean_us": 427, "set_latency_p50_us": 135,
        "set_latency_p95_us": 2015, "set_latency_p99_us": 4015, "set_latency_max_us": 211583,
        "get_requests_per_s": 23668.64, "get_latency_mean_us": 274, "get_latency_p50_us": 127,
        "get_latency_p95_us": 1463, "get_latency_p99_us": 3231, "get_latency_max_us": 11591}),
    "redis_quiet": ("redis-benchmark", {
        "set_requests_per_s": 11514.10, "set_latency_p50_us": 151, "get_requests_per_s": 14398.85,
        "get_latency_p50_us": 151}),
    "redis": ("redis-benchmark", {
        "get_requests_per_s": 14378.14, "get_latency_mean_us": 451, "get_latency_p50_us": 143,
        "get_latency_p95_us": 2567, "get_latency_p99_us": 4695, "get_latency_max_us": 16023}),
    "pgbench": ("pgbench", {
        "failed_requests": 0, "latency_mean_us": 27291, "transactions_per_s": 146.571006}),
    "pgbench_report": ("pgbench", {
        "failed_requests": 0, "latency_mean_us": 624, "transactions_per_s": 6090.921641}),
    "pgbench_rate": ("pgbench", {
        "failed_requests": 89, "latency_mean_us": 21825, "transactions_per_s": 123.87328}),
    "hackbench": ("hackbench", {"time_s": 0.687}),
    "hackbench_threads": ("hackbench", {"time_s": 0.006}),
    "hyperfine_json": ("hyperfine", {
        "command_1_mean_s": 0.0248271143, "command_1_median_s": 0.0244473095, "command_1_max_s": 0.03005084,
        "command_2_mean_s": 0.0054887025, "command_2_median_s": 0.0051245355, "command_2_max_s": 0.009334965}),
    "fio_json": ("fio", {
        "read_operations_per_s": 6590.863952, "read_latency_p50_us": 42.24, "read_latency_p95_us": 95.744,
        "read_latency_p99_us": 2375.68, "write_operations_per_s": 6629.59285, "write_latency_p50_us": 3.248,
        "write_latency_p95_us": 10.176, "write_latency_p99_us": 16.768}),
}  # fmt: skip


def output(name: str) -> str:
    """What the tool printed, without the two lines that say which version it was and how it was called."""
    with (GOLDEN / f"{name}.txt").open(newline="") as file:
        version, command, text = file.read().split("\n", 2)
    assert version.startswith("# ") and command.startswith("# ")
    return text


@pytest.mark.parametrize("name", REAL)
def test_what_real_tools_print_is_read(name: str) -> None:
    tool, wanted = REAL[name]
    found = {metric.name: metric for metric in metrics_of(tool, output(name))}
    for metric, value in wanted.items():
        assert found[metric].value == pytest.approx(value), metric
    for metric in found.values():
        assert metric.better == ("higher" if metric.name.endswith("_per_s") else "lower")
        assert metric.unit in ("us", "s", "requests") or metric.unit.endswith("/s")
        assert metric.source == tool


def test_every_tool_but_the_one_that_has_tests_of_its_own_was_run() -> None:
    assert {tool for tool, _ in REAL.values()} == set(TOOLS) - {"schbench"}
    assert {path.stem for path in GOLDEN.glob("*.txt")} == {*REAL, "hyperfine"}


@pytest.mark.parametrize("name", REAL)
def test_what_is_cut_short_or_another_s_is_told_by_tool(name: str) -> None:
    tool, _ = REAL[name]
    lines = output(name).rstrip().split("\n")
    bad = ["", "nothing of the kind\n", "\n".join(lines[: len(lines) // 2])]
    for text in bad if name not in ("redis_quiet", "redis_csv") else bad[:2]:
        with pytest.raises(InputError, match=rf"^{tool}") as told:
            metrics_of(tool, text)
        assert "\n" not in str(told.value)
    for other, (its, _) in REAL.items():
        if its != tool:
            with pytest.raises(InputError):
                metrics_of(tool, output(other))


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("wrk", "  Latency Distribution", "  Latenz", "wrk, line 6: '  Latenz' is nothing that a known version prints"),
        ("wrk", "50%    0.88ms", "50%    0.88fortnights", "wrk, line 7: "),
        ("wrk", "Requests/sec:", "Requests/min:", "wrk, line 12: "),
        ("ab", "Failed requests:", "Vanished requests:", "ab, line 18: "),
        ("pgbench", "latency average", "latency mean", "pgbench, line 11: "),
        ("redis", "  latency summary (msec):", "  latency summary (usec):", "redis-benchmark, line 63: "),
        ("redis_csv", '"0.427"', '"fast"', "redis-benchmark, line 2: "),
        ("redis_quiet", "p50=0.151 msec", "p50=0.151 hours", "redis-benchmark, line 1: "),
        ("hackbench", "messages", "letters", "hackbench, line 2: "),
        ("fio_json", '"iops" :', '"ipos" :', r"fio, jobs\[0\].read: field 'iops' is missing"),
        ("hyperfine_json", "        0,", "        1,", r"hyperfine, results\[0\]: 9 of 10 runs of 'sleep 0.02' failed"),
    ],
)
def test_an_unknown_line_is_told_by_tool_and_line(name: str, old: str, new: str, told: str) -> None:
    text = output(name)
    assert old in text
    with pytest.raises(InputError, match=f"^{told}"):
        metrics_of(REAL[name][0], text.replace(old, new))


@pytest.mark.parametrize("name", ["wrk", "ab", "pgbench", "hackbench"])
def test_what_others_print_around_it_does_not_matter_and_a_second_output_does(name: str) -> None:
    tool, text = REAL[name][0], output(name)
    assert metrics_of(tool, f"starting\n{text}\nall done\n") == metrics_of(tool, text)
    with pytest.raises(InputError, match="a second output"):
        metrics_of(tool, text + text)


def test_formats_for_people_are_pointed_to_those_for_programs() -> None:
    with pytest.raises(InputError, match=r"hyperfine, line 1: 'Benchmark 1: sleep 0.02' is no JSON: run it with --exp"):
        metrics_of("hyperfine", output("hyperfine"))
    with pytest.raises(InputError, match=r"fio, line 1: .* --output-format=json"):
        metrics_of("fio", "r: (g=0): rw=randrw\n")


def test_limits_of_what_is_read() -> None:
    for tool in set(TOOLS) - {"schbench"}:
        with pytest.raises(InputError, match=f"^{tool}: more than 1 MiB"):
            metrics_of(tool, "x" * (OWNER_TEXT_BYTES + 1))
    with pytest.raises(InputError, match=f"^wrk, line 2: longer than {LONGEST_LINE}"):
        metrics_of("wrk", "\n" + "x" * (LONGEST_LINE + 1))
    with pytest.raises(InputError, match=r"'memtier\\x1b' is no load generator that is known: ab, fio"):
        metrics_of("memtier\x1b", "")
    with pytest.raises(InputError, match="nested too deep"):
        metrics_of("fio", "[" * 200_000)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(REAL)), st.data())
def test_no_damage_makes_anything_but_metrics_or_an_input_error(name: str, data: st.DataObject) -> None:
    text = output(name)
    at = data.draw(st.integers(0, len(text)))
    damaged = text[:at] + data.draw(st.text(max_size=5)) + text[at + data.draw(st.integers(0, 30)) :]
    try:
        found = metrics_of(REAL[name][0], damaged)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert all(isinstance(metric, OwnerMetric) for metric in found)


def test_a_pattern_s_one_group_in_the_last_line_that_it_fits() -> None:
    text = "p99 is 4 us\np99 is 5 us\nthe end\n"
    pattern = read_pattern(r"answer_p99_us=p99 is (\d+) us")
    assert from_pattern(text, pattern) == OwnerMetric("answer_p99_us", 5, "us", "lower", "pattern 'answer_p99_us'")
    frames = read_pattern(r"frames=(?:fps|FPS): (?P<n>[\d.]+)")
    assert from_pattern("fps: 29.5", frames, unit="frames/s", better="higher").value == 29.5
    with pytest.raises(InputError, match="does not end in"):
        from_pattern("fps: 29.5", frames)
    with pytest.raises(InputError, match="fits no line"):
        from_pattern("nothing", pattern)
    with pytest.raises(InputError, match="line 2: 'ten' is no number"):
        from_pattern("\nn=ten", read_pattern("n_us=n=(.*)"))


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("p99", "not NAME=REGEX"), ("9=(.)", "not NAME=REGEX"), ("a=b", "has 0 groups"), ("a=(.)(.)", "has 2 groups"),
        ("a=(", r"missing \) at character"), (r"a=(.)\1", "RE2"), (r"a=(?=x)(.)", "RE2"), ("a=(?<!x)(.)", "RE2"),
        ("a=(?>x)(.)", "RE2"),
        ("a=x++(.)", "RE2"), ("a=(?P=n)(.)", "RE2"), ("a=" + "x" * PATTERN_CHARACTERS + "(.)", "longer than"),
    ],
)  # fmt: skip
def test_a_pattern_that_re2_would_not_take_is_refused(word: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_pattern(word)


def test_an_escaped_backslash_before_a_digit_is_no_back_reference() -> None:
    assert read_pattern(r"a_us=\\1(.)").regex == r"\\1(.)"


def test_a_pattern_that_takes_for_ever_is_cut_short() -> None:
    slow = read_pattern("a_us=^(?:a|aa)+(b?)$")
    with pytest.raises(InputError, match="line 1: no answer within 1 s of CPU time"):
        from_pattern("a" * 60 + "!", slow)


def test_a_field_of_a_json_object() -> None:
    text = 'noise\n{"latency": {"p99_us": 12}, "jobs": 3, "ok": true}\n'
    assert from_json(text, "latency.p99_us") == OwnerMetric("p99_us", 12, "us", "lower", "JSON 'latency.p99_us'")
    assert from_json(text, "jobs", unit="jobs", better="higher").value == 3
    for path, told in (("latency.p50_us", "missing"), ("ok", "must be of type"), ("jobs", "does not end in")):
        with pytest.raises(InputError, match=told):
            from_json(text, path)
    assert from_json('{\n "p50_us":\n 3\n}\n', "p50_us").value == 3, "of several lines"
    for text, told in (("none", "not a JSON object"), ("[" * 100_000, "not a JSON object"), (" " * 2**21, "more than")):
        with pytest.raises(InputError, match=told):
            from_json(text, "x")


def test_a_series_of_a_page() -> None:
    page = '# HELP x y\nup 1\nrequest_seconds{path="/"} 0.25\nrequest_seconds{path="/x"} 0.5\nbad NaN\n'
    found = from_page(page, "request_seconds")
    assert found == OwnerMetric("request_seconds", 0.5, "s", "lower", "series 'request_seconds'")
    one = from_page(page, 'request_seconds{path="/"}', name="root_s")
    assert (one.name, one.value, one.unit) == ("root_s", 0.25, "s")
    assert from_page(page, "up", unit="hosts", better="higher").value == 1
    for series in ("bad", "absent"):
        with pytest.raises(InputError, match="none with numbers"):
            from_page(page, series)
    with pytest.raises(InputError, match="does not end in"):
        from_page(page, "up")


def test_a_metric_is_a_finite_number_with_a_name() -> None:
    for value in (float("inf"), float("nan"), -1.0):
        with pytest.raises(InputError, match="not a finite number"):
            named("p99_us", value, "here")
    with pytest.raises(InputError, match="is no name of a metric"):
        named("p99 _us", 1, "here")
    with pytest.raises(InputError, match="give both"):
        named("p99_us", 1, "here", unit="us")
    assert re.fullmatch("1/s", named("jobs_per_s", 1, "here").unit)

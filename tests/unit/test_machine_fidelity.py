# SPDX-License-Identifier: Apache-2.0
"""The model beside what is real: ratios, verdicts and pages of the benches of docs/fidelity*.md, and of the ranking."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from benchmarks.workloads import at_size, workload
from control_plane.bench import machine_ranking as ranking
from control_plane.bench.beside import Beside, cost, cost_rows, page, program_rows, shown
from control_plane.bench.published import CLAIMS, POLICY, Tried, line, steps_of, tried
from control_plane.bench.published import page as published_page
from control_plane.bench.real_files import loaded
from control_plane.bench.real_programs import COSTS, Real, times_ns
from policy_lake.errors import InfraError
from policy_lake.scores import Pair


@pytest.mark.parametrize(
    ("guest", "within"), [(75.0, True), (125.0, True), (74.0, False), (126.0, False), (100.0, True)]
)
def test_a_program_is_near_within_a_quarter_of_the_native_median(guest, within):
    (one,) = program_rows({"gzip": Beside([90.0, 100.0, 200.0], guest)})
    assert (one.native, one.low, one.high, one.ratio) == (100.0, 90.0, 200.0, guest / 100)
    assert one.within is within and one.missed is not within
    assert one.line.startswith("met  " if within else "MISS ")
    told = cost("a switch", Beside([100.0], guest))
    assert not told.missed and told.line.startswith("     ")


def test_what_others_took_of_a_wall_clock_time_does_not_count():
    one = cost("a switch", Beside([9e6, 5.0, 3.0, 4.0, 8e6, 7e6, 6e6, 2.0], 3.0))
    assert (one.native, one.low, one.high) == (3.0, 2.0, (5.0 + 6e6) / 2)


def test_what_costs_nothing_natively_is_not_near():
    one = cost("a switch", Beside([0.0, 0.0], 100.0))
    assert math.isnan(one.ratio) and not one.within and one.verdict == "not within 25%"


def test_eviction_is_what_comes_on_top_of_the_switch_that_both_have():
    samples = {name: Beside([5000.0], 4000.0) for name in COSTS}
    samples["evict 0"] = Beside([2900.0, 3000.0, 3100.0], 2000.0)
    samples["evict 4096"] = Beside([17000.0, 18000.0, 20000.0], 15000.0)
    rows = {one.name: one for one in cost_rows(samples)}
    evicted = rows["more with 512 KiB, beside 4096 KiB"]
    assert (evicted.native, evicted.low, evicted.high, evicted.guest) == (14100.0, 14100.0, 15100.0, 13000.0)
    assert rows["more with 512 KiB, beside 64 KiB"].native == 2100.0
    assert len(rows) == len(COSTS) and not any(one.required for one in rows.values())


def test_the_page_counts_the_programs_that_are_near():
    programs = program_rows({"near": Beside([1e6], 1.1e6), "far": Beside([2e3], 9e3)})
    costs = [cost("a switch", Beside([3e3, 1e3, 2e3], 4e3))]
    text = page(programs, costs, where="a day", machine="it costs", user_ps=90)
    assert "1 of 2 are within 25%." in text and "it costs" in text
    assert "| near | 1.00 ms | 1.00 ms to 1.00 ms | 1.10 ms | 1.10 | within 25% | 82 |" in text
    assert "| far | 2.00 us | 2.00 us to 2.00 us | 9.00 us | 4.50 | not within 25% | 20 |" in text
    assert "| a switch | 1.00 us | 1.00 us | 2.00 us | 4.00 us | 4.00 |" in text
    assert (shown(-2e6), shown(999.0)) == ("-2.00 ms", "1.00 us")


def test_a_time_is_divided_by_what_its_own_run_printed():
    out = 'percentiles\n{"requests": 50}\ncpu_ns 1000\n{"requests": 10}\ncpu_ns 1000\n'
    assert times_ns(out, "requests") == [20.0, 100.0]
    assert times_ns('{"requests": 50}\ncpu_ns 1000\n' + "cpu_ns 1000\n", "") == [1000.0, 1000.0]
    with pytest.raises(InfraError):
        times_ns('{"requests": 50}\ncpu_ns 1000\ncpu_ns 1000\n', "requests")
    assert times_ns("cpu_ns 7\ncpu_ns 8\n", "") == [7.0, 8.0]
    with pytest.raises(InfraError, match="no time"):
        times_ns("nothing\n", "")
    with pytest.raises(InfraError):
        times_ns('{"requests": 0}\ncpu_ns 1\n', "requests")


def test_only_a_program_whose_object_is_read_is_shown():
    assert Real("a", ("/bin/a", "x")).cputime(3) == ("3", "0", "drop", "/bin/a", "x")
    assert Real("a", ("/bin/a",), per="requests").cputime(1) == ("1", "0", "show", "/bin/a")


def test_ldd_lists_the_loader_and_what_is_found():
    listing = "\tlinux-vdso.so.1 (0x1)\n\tlibm.so.6 => /lib/libm.so.6 (0x2)\n\t/lib64/ld-linux-x86-64.so.2 (0x3)\n"
    assert [str(path) for path in loaded(listing)] == ["/lib/libm.so.6", "/lib64/ld-linux-x86-64.so.2"]
    assert loaded("\tnot a dynamic executable\n") == []


CLAIM = replace(CLAIMS["wasted"], least=1.1, most=1.2)


@pytest.mark.parametrize(
    ("ratio", "low", "high", "verdict"),
    [
        (1.15, 1.12, 1.18, "same direction and size"), (1.1, 1.01, 1.2, "same direction and size"),
        (1.05, 1.01, 1.1, "same direction, smaller"), (1.3, 1.2, 1.4, "same direction, larger"),
        (1.15, 0.99, 1.3, "no sure difference"), (1.15, 1.0, 1.3, "no sure difference"),
        (0.9, 0.8, 0.99, "the other way round"),
    ],
)  # fmt: skip
def test_direction_is_judged_before_size(ratio, low, high, verdict):
    one = Tried(CLAIM, ratio, low, high)
    assert one.verdict == verdict and line(one).endswith(verdict)
    text = published_page([one], where="on a day")
    assert f"| {one.ratio:.3f}x [{low:.3f}, {high:.3f}] | {verdict} |" in text and CLAIM.remark in text


def test_a_claim_is_worse_over_better_in_either_direction_of_the_metric():
    pairs = [Pair(115.0 + i / 10, 100.0, i) for i in range(5)]
    assert tried(CLAIM, pairs).ratio == pytest.approx(1.152, abs=0.001)
    rates = [Pair(100.0, 115.0 + i / 10, i) for i in range(5)]
    assert tried(replace(CLAIM, higher_is_better=True), rates).ratio == pytest.approx(1.152, abs=0.001)


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_says_what_the_policy_and_the_program_take(name):
    claim = CLAIMS[name]
    knobs = {word.partition("=")[0] for word in (*claim.better, *claim.worse)}
    assert all(f" {knob} = " in POLICY.read_text() for knob in knobs) and claim.better != claim.worse
    assert 1.0 <= claim.least < claim.most and claim.source and claim.said
    steps = steps_of(claim, 3)
    assert [step.verb for step in steps] == ["attach", "run", "detach"] * 2
    assert {step.label for step in steps if step.verb == "run"} == {"better", "worse"}
    assert steps[1].label != steps_of(claim, 4)[1].label and "3" in steps[1].args


def rank(of, policy, low, high, load="batch"):
    return ranking.Rank(of, 8, load, policy, (low + high) / 2, low, high)


def test_ranks_are_ratios_to_eevdf_best_first():
    described = at_size(workload("batch"), "smoke")
    figures = {seed: {"EEVDF": 100.0, "ljf": 50.0 + seed, "fifo": 200.0} for seed in range(1, 5)}
    best, worst = ranking.rank("laptop", 8, described, figures)
    assert (best.policy, worst.policy, worst.ratio) == ("ljf", "fifo", 0.5)
    assert best.low < best.ratio < best.high and ranking.word(best).startswith("**1.9")
    assert ranking.word(worst).startswith("**0.500x") and ranking.word(rank("laptop", "rr", 0.9, 1.1))[0] != "*"


def test_each_policy_runs_once_a_guest_and_none_is_always_first():
    described, names = at_size(workload("batch"), "smoke"), ("EEVDF", "fifo", "ljf")
    steps = list(ranking.steps_of(described, names, 1))
    assert [step.label for step in steps if step.verb == "run"] == ["fifo", "ljf", "EEVDF"]
    assert len(steps) == 7 and steps[0].args == ("fifo.bpf.o",) and "job_comm" in steps[3].args[1]
    assert {ranking.order(names, seed)[0] for seed in range(3)} == set(names)


def test_a_changed_order_needs_intervals_apart_on_both_machines():
    one = [rank("laptop", "rr", 1.2, 1.3), rank("laptop", "fifo", 1.0, 1.1)]
    assert ranking.changes([*one, rank("server", "rr", 0.8, 0.9), rank("server", "fifo", 1.0, 1.1)]) == [
        "batch: fifo surely beats rr on server; the other way round on laptop"
    ]
    assert ranking.changes([*one, rank("server", "rr", 0.8, 1.05), rank("server", "fifo", 1.0, 1.1)]) == []
    sure = [rank("laptop", "rr", 0.8, 0.9), rank("laptop", "fifo", 1.0, 1.1)]
    assert ranking.changes([*sure, rank("server", "rr", 0.99, 1.2), rank("server", "fifo", 0.9, 1.0)]) == []
    failed = replace(rank("server", "rr", 0.0, 0.0), failure="not measured: why")
    assert ranking.changes([*one, failed, rank("server", "fifo", 1.0, 1.1)]) == []


def test_the_ranking_has_a_line_a_machine_with_eevdf_in_the_order():
    failed = replace(rank("server", "rr", 0.0, 0.0), failure="not measured: why")
    ranks = [rank("laptop", "rr", 1.2, 1.4), rank("laptop", "fifo", 0.9, 1.0), rank("server", "fifo", 1.1, 1.1), failed]
    text = ranking.page(ranks, where="on a day")
    assert "| laptop, 8 CPUs | 0.950x [0.900, 1.000] | **1.300x [1.200, 1.400]** | rr > EEVDF > fifo |" in text
    assert "| server, 8 CPUs | **1.100x [1.100, 1.100]** | not measured: why | fifo > EEVDF |" in text
    assert text.endswith("Nowhere.\n")

# SPDX-License-Identifier: Apache-2.0
"""From samples to a machine: intervals, what the guest's kernel executes anyway, doubts, a file that is always one."""

from __future__ import annotations

import random
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machine_cases import write

from benchmarks.machine_file import read_machine
from benchmarks.machine_text import descriptor_text
from policy_lake.errors import InfraError
from policy_lake.topology import Topology
from tasks.host.settings import load_settings
from tasks.host.topology import HostTopology
from tasks.machine import measure
from tasks.machine.experiments import SHORT, Effort, Experiment, plan, samples
from tasks.machine.measure import left_out, machine_of
from tasks.machine.numbers import CALLS, SWITCH, WAKE, Number, Sampled, interval, judged, numbers

TWO = HostTopology(Topology(2), (0, 1), 1024, 32768)
LARGE = HostTopology(Topology(16, 4, 2, 2), tuple(range(16)), 512, 16384)
ONE = HostTopology(Topology(1), (0,))


def sampled(lie: HostTopology, **others: float) -> dict[str, Sampled]:
    """Quiet samples of every experiment that the host can show."""
    usual = {"syscalls": CALLS * 0.4, "switch": SWITCH * 0.4 + 700, "chase.beyond l2": 40.0, "chase.beyond llc": 90.0}
    named = {name.replace("_", "."): value for name, value in others.items()}
    values = {}
    for experiment in plan(lie, Effort()):
        value = {**usual, **named}.get(experiment.name, 1000.0 if experiment.name.startswith("count") else 20.0)
        values[experiment.name] = Sampled(tuple(value * (1 + n / 1000) for n in range(11)))
    return values


def by_name(lie: HostTopology, got: dict[str, Sampled]) -> dict[str, Number]:
    return {number.name: number for number in numbers(lie, got)}


def test_an_interval_encloses_the_median_as_often_as_it_says() -> None:
    draw = random.Random(1)
    for count in (7, 11, 33):
        inside = 0
        for _ in range(2000):
            number = interval("x", [draw.expovariate(1) for _ in range(count)], "")
            inside += number.low <= 0.6931 <= number.high
        assert inside / 2000 > 0.94, count


@pytest.mark.parametrize(("count", "least"), [(6, 0), (7, 0), (11, 1), (33, 10)])
def test_its_ends_are_the_order_statistics_of_the_tables(count: int, least: int) -> None:
    """As in W. J. Conover, Practical Nonparametric Statistics, 3.2: 95 % or the next that is more."""
    number = interval("x", range(count), "")
    assert (number.low, number.value, number.high) == (least, (count - 1) / 2, count - 1 - least)


def test_too_few_samples_are_said_to_be() -> None:
    assert "too few" in interval("x", [1.0] * 5, "").why and not interval("x", [1.0] * 6, "").why


def test_a_wide_interval_is_a_reason_unless_the_time_is_short() -> None:
    assert judged(Number("a", 100, 80, 101, 9, "GB/s")).why
    assert not judged(Number("a", 100, 91, 110, 9, "GB/s")).why
    assert not judged(Number("a", 100, 0, 400, 9, "ns")).why
    assert judged(Number("a", 100, 0, 501, 9, "ns")).why and not judged(Number("a", 100, 0, 500, 9, "ns")).why
    assert judged(Number("a", 1000, 900, 1101, 9, "GB/s")).why and not judged(Number("a", 1000, 900, 1100, 9, "x")).why


def test_what_the_guests_kernel_executes_is_no_cost_beside_it() -> None:
    got = by_name(TWO, sampled(TWO, wake_10=WAKE * 0.4 + 9000, wake_100=WAKE * 0.4 + 5000, wake_1000=WAKE * 0.4 + 2e4))
    assert got["kernel_ps"].value == pytest.approx(400, rel=0.01)
    assert got["switch_ns"].value == pytest.approx(700, rel=0.05)
    exits = [got[f"idle_exit.{us}"].value for us in (10, 100, 1000)]
    assert exits[0] == exits[1] == pytest.approx(9000, rel=0.01) and exits[2] == pytest.approx(2e4, rel=0.01)
    assert by_name(TWO, sampled(TWO, switch=10.0))["switch_ns"].value == 0


def test_an_experiment_that_failed_leaves_its_numbers_unknown() -> None:
    got = sampled(TWO)
    got["syscalls"] = Sampled((), "the sky fell")
    found = by_name(TWO, got)
    assert all(found[name].why == "the sky fell" for name in ("kernel_ps", "switch_ns", "idle_exit.10"))
    machine = machine_of(TWO, tuple(found.values()), "mine", trusted=False)
    assert "default of kind" in machine.sources["kernel_ps"] and "the sky fell" in machine.sources["kernel_ps"]
    assert "not to be trusted" in machine.title


def test_idle_states_of_which_some_are_unknown_are_the_kind_s() -> None:
    """The points that are known, alone, would say that a CPU which rested for less wakes at once."""
    got = sampled(TWO)
    whole = machine_of(TWO, tuple(numbers(TWO, got)), "mine", trusted=True)
    got["wake.10"] = Sampled((), "the sky fell")
    found = tuple(numbers(TWO, got))
    part = machine_of(TWO, found, "mine", trusted=True)
    assert part.costs.idle_exit != whole.costs.idle_exit
    assert part.costs.idle_exit == machine_of(TWO, (), "mine", trusted=True).costs.idle_exit
    assert "nothing is known of 10" in part.sources["idle_exit"]


def test_numbers_that_contradict_one_another_are_not_known() -> None:
    got = {**sampled(TWO), "syscalls": Sampled((CALLS * 30.0,) * 11)}
    got |= {name: Sampled((0.2,) * 11) for name in got if name.startswith("work.")}
    got |= {name: Sampled((1.0,) * 11) for name in got if name.startswith("count.")}
    found = by_name(TWO, got)
    assert "200 ps of programs and 3e+04 ps of the kernel" in found["user_ps"].why and found["kernel_ps"].why
    quiet = by_name(TWO, sampled(TWO, wake_10=WAKE * 0.4 + 208_000))
    late = by_name(TWO, sampled(TWO, wake_10=WAKE * 0.4 + 211_000))
    assert not quiet["idle_exit.10"].why and "longer than the rest" in late["idle_exit.10"].why


def test_a_cache_that_loads_do_not_show_is_not_confirmed() -> None:
    got = sampled(TWO)
    got["chase.beyond llc"] = got["chase.llc"]
    assert "sysfs says so" in by_name(TWO, got)["llc_kib"].why and not by_name(TWO, got)["l2_kib"].why


def test_what_a_host_can_show_is_tried_and_the_rest_is_left_out() -> None:
    names = {experiment.name for experiment in plan(LARGE, Effort())}
    assert {"smt", "turbo.2", "turbo.4", "remote", "other llc", "moved", "wake.10"} <= names
    assert left_out(LARGE, tuple(numbers(LARGE, sampled(LARGE)))).keys() == {"capacity"}
    names = {experiment.name for experiment in plan(ONE, Effort())}
    assert not names & {"smt", "turbo.2", "remote", "other llc", "moved", "wake.10", "llc", "memory"}
    gone = left_out(ONE, tuple(numbers(ONE, sampled(ONE))))
    assert {"smt", "turbo", "remote_gbps", "idle_exit", "l2_kib", "llc_kib"} <= gone.keys()


def test_each_cpu_of_an_experiment_is_where_it_should_be() -> None:
    words = {experiment.name: experiment.words for experiment in plan(LARGE, Effort())}
    assert words["smt"][-1] == "1" and words["turbo.4"][-1] == "2,4,6"
    assert words["moved"][2] == "2" and words["other llc"][2] == "4" and words["remote"][2] == "8"
    assert words["node"][1] == "0,2,4,6" and words["wake.10"][2] == "2"


def test_the_machine_has_what_was_measured() -> None:
    got = sampled(LARGE, llc=40.0, memory=8.0, remote=4.0, node=50.0, beyond=0.5, smt=32.0, turbo_4=25.0)
    machine = machine_of(LARGE, tuple(numbers(LARGE, got)), "mine", trusted=True)
    costs = machine.costs
    assert (costs.llc_mbps, costs.memory_mbps, costs.remote_mbps) == (40_200, 8_040, 4_020)
    assert costs.smt == pytest.approx(640, abs=8) and costs.turbo == (1024, 1024, 922, 819)
    assert machine.sources["llc_gbps"].startswith("measured: median of 11")


def test_of_a_hybrid_whose_slow_core_comes_first_the_speed_is_the_fast_ones() -> None:
    lie = replace(TWO, capacity=(512, 1024))
    found = tuple(numbers(lie, sampled(lie)))
    assert machine_of(lie, found, "mine", trusted=True).costs.kernel_ps == pytest.approx(200, rel=0.02)


def test_shares_are_within_what_a_descriptor_may_say() -> None:
    low = tuple(Number(name, 0.01, 0.01, 0.01, 9, "") for name in ("smt", "beyond_llc", "turbo.2", "turbo.4"))
    costs = machine_of(LARGE, low, "mine", trusted=True).costs
    assert (costs.smt, costs.beyond_llc, costs.turbo) == (410, 52, (1024, 52, 52, 52))


def test_a_ratio_has_the_interval_of_both_its_sides() -> None:
    got = sampled(LARGE)
    got["alone"], got["smt"] = (Sampled(tuple(base + n / 10 for n in range(11))) for base in (10.0, 20.0))
    ratio = by_name(LARGE, got)["smt"]
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((10.5 / 20.5, 10.1 / 20.9, 10.9 / 20.1))
    assert (ratio.samples, ratio.why) == (11, "") and by_name(LARGE, sampled(LARGE))["turbo.2"].high == 1
    got["smt"] = Sampled((), "it fell")
    assert (by_name(LARGE, got)["smt"].why, by_name(LARGE, got)["smt"].samples) == ("it fell", 0)


def test_samples_of_one_that_failed_later_are_not_trusted() -> None:
    got = sampled(TWO)
    got["memory"] = replace(got["memory"], why="killed")
    assert by_name(TWO, got)["memory_gbps"].why == "killed"
    assert "too few" in by_name(TWO, {**got, "memory": Sampled((1.0,) * 3)})["memory_gbps"].why


def test_the_memory_of_each_experiment_is_what_it_should_be() -> None:
    words = {experiment.name: experiment.words[1:-1] for experiment in plan(LARGE, Effort(1, 5))}
    assert words["llc"] == ("0", "0", "256", "2048") and words["moved"] == ("0", "2", "256", "0")
    assert words["memory"] == ("0", "0", "2048", "flush") and words["other llc"] == ("0", "4", "2048", "0")
    assert words["remote"] == ("0", "8", "2048", "flush") and words["beyond"] == ("0", "2048", "65536")
    assert words["chase.l2"] == ("0", "256") and words["chase.beyond l2"] == ("0", "1024")
    assert words["chase.llc"] == ("0", "8192") and words["chase.beyond llc"] == ("0", "65536")
    assert words["node"] == ("0,2,4,6", "32768") and {one.words[-1] for one in plan(ONE, Effort(1, 5))} >= {"5"}
    (node,) = (one.words for one in plan(TWO, SHORT) if one.name == "node")
    assert node == ("stream", "0,1", "32768", "7")
    (node,) = (one.words for one in plan(replace(TWO, llc_kib=1 << 17), SHORT) if one.name == "node")
    assert node[2] == str(1 << 17) and (SHORT.rounds, Effort().rounds) == (1, 3)


VALUES = st.one_of(st.just(0.0), st.floats(1e-9, 1e12))


@settings(max_examples=40, deadline=None)  # files, on a machine that others use, too
@given(st.sampled_from([TWO, LARGE, ONE]), st.data())
def test_whatever_was_sampled_the_file_is_one_that_can_be_read(lie: HostTopology, data: st.DataObject) -> None:
    counts = st.sampled_from(data.draw(st.sampled_from([(1, 11), (11,)])))
    got = {experiment.name: Sampled((data.draw(VALUES),) * data.draw(counts)) for experiment in plan(lie, Effort())}
    machine = machine_of(lie, tuple(numbers(lie, got)), "mine", trusted=False)
    with tempfile.TemporaryDirectory() as folder:
        assert read_machine(write(Path(folder), descriptor_text(machine))) == machine


def test_what_no_time_is_left_for_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    monkeypatch.setattr(measure, "samples", lambda binary, one, limit_s: (tried.append(one.name), ([1.0] * 11, ""))[1])
    whole = measure._gathered(Path("x"), TWO, Effort(2, 11), lambda text: None)
    assert all(len(one.values) == (11 if name.startswith("count") else 22) for name, one in whole.items())
    assert len(tried) == 2 * len(whole) - 4
    monkeypatch.setattr(measure, "LONGEST_S", 0.0)
    cut = measure._gathered(Path("x"), TWO, Effort(2, 11), lambda text: None)
    assert cut.keys() == whole.keys() and {one.why for one in cut.values()} == {"0 s were over"}
    assert all(number.why for number in numbers(TWO, cut))


def test_a_program_that_fails_or_hangs_is_told_of() -> None:
    assert samples(Path("/bin/sh"), Experiment("x", ("-c", "echo 1.5; echo no >&2; exit 3"))) == ([1.5], "no")
    assert "more than" in samples(Path("/bin/sh"), Experiment("x", ("-c", "exec sleep 60")), limit_s=0.2)[1]


@pytest.mark.parametrize(
    ("stolen", "others", "found", "says"),
    [
        (0.02, 0.0, (), "a hypervisor took 2.0%"),
        (0.0, 0.06, (), "other processes took 6.0%"),
        (0.0, 0.0, (Number("smt", 1, 0, 1, 9, "", "wide"),), "not known: smt"),
    ],
)
def test_each_doubt_is_said(stolen: float, others: float, found: tuple[Number, ...], says: str) -> None:
    assert says in measure._doubts(found, stolen, others)[0]
    assert measure._doubts((Number("smt", 1, 1, 1, 9, ""),), 0.01, 0.05) == []


def test_shares_of_the_cpus_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sysconf", lambda name: 100)
    assert measure._shares((0, 0, 0, 0.0), (1000, 400, 50, 4.0)) == (0.05, 0.15)


def test_what_proc_says_of_the_cpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stat").write_text("cpu  1 2 4 8 16 32 64 128 256 512\ncpu0 9 9 9 9 9 9 9 9 9 9\n")
    monkeypatch.setattr("resource.getrusage", lambda who: SimpleNamespace(ru_utime=1.0, ru_stime=2.0))
    assert measure._cpu_times(tmp_path) == (255, 24, 128, 6.0)
    (tmp_path / "cpuinfo").write_text("processor : 0\nmodel name\t: A CPU\x1b[31m\nmodel name : B\n")
    assert measure._model_name(tmp_path).startswith("A CPU") and "\x1b" not in measure._model_name(tmp_path)
    (tmp_path / "cpuinfo").write_text("processor : 0\n")
    assert measure._model_name(tmp_path) == "this host"


def test_a_process_that_may_not_run_everywhere_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "read_host_topology", lambda: TWO)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0})
    with pytest.raises(InfraError, match="may not run on CPU 1"):
        measure.measure_host(load_settings(), Effort(), print)

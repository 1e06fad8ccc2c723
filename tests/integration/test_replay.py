# SPDX-License-Identifier: Apache-2.0
"""The program made of a trace, pieces of traces, and the guest's replayer, which runs on any Linux."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from trace_cases import parent_and_child, trace

import bpf
from benchmarks.comm import comm_printed, comm_text
from benchmarks.replay_fidelity import compare
from benchmarks.trace.check import first_fault
from benchmarks.trace.cut import cut
from benchmarks.trace.file import read_trace
from benchmarks.trace.program import critical_us, program, total_us
from benchmarks.trace.tasks import OPS
from policy_lake.errors import InfraError, InputError

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def replayer(tmp_path_factory):
    binary = tmp_path_factory.mktemp("guest") / "replay"
    flags = ["-static", "-O2", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["gcc", *flags, "-o", binary, BENCHMARKS / "guest" / "replay.c", "-lpthread"], check=True)
    return binary


def replayed(replayer, tmp_path, data, *options):
    (tmp_path / "p").write_bytes(data)
    command = [replayer, tmp_path / "p", *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def two_workers_and_a_thread():
    return trace([
        (0, "fork", 1000, 0, 1), (0, "thread", 0, 0, 2), (0, "wait", 0, 0, 0), (0, "wait", 0, 0, 1),
        (0, "exit", 1000, 0, 0),
        (1, "name", 0, 0, 0), (1, "nice", 0, 0, 5), (1, "sleep", 1000, 0, 3000), (1, "wake", 4000, 0, 0),
        (1, "exit", 0, 0, 0),
        (2, "name", 0, 0, 1), (2, "wake", 6000, 0, 1), (2, "exit", 0, 0, 0),
    ], names=("work\\er", "thread"))  # fmt: skip


def test_the_longest_chain_is_found_by_hand_and_by_program():
    assert (critical_us(parent_and_child()), total_us(parent_and_child())) == (3000 + 4000 + 500 + 2000 + 500, 8000)
    assert critical_us(two_workers_and_a_thread()) == 1000 + 1000 + 3000 + 4000 + 1000


def test_a_replay_makes_every_task_with_its_names_and_cpu_time(replayer, tmp_path):
    done = replayed(replayer, tmp_path, program(two_workers_and_a_thread()))
    assert done.returncode == 0, done.stderr
    out = json.loads(done.stdout.splitlines()[-1])
    assert out["ok"] and out["tasks"] == 3 and out["planned_cpu_ms"] == pytest.approx(13)
    used = {row["comm"]: row["cpu_ms"] for row in out["commands"]}
    assert set(used) == {"top", "work\\er", "thread"}
    # Real work, by a clock that others disturb: only that it is of the right size.
    assert 4 < used["work\\er"] < 15 and 5 < used["thread"] < 18
    assert out["makespan_ms"] >= 9.5 and out["critical_ms"] == pytest.approx(10)
    assert out["wakeups"] >= 2


def test_what_waits_cannot_go_on_before_it_is_woken(replayer, tmp_path):
    chain = [(0, "fork", 0, 0, 1), (0, "wait", 0, 0, 0), (0, "exit", 0, 0, 0), (1, "sleep", 0, 0, 50_000),
             (1, "wake", 0, 0, 0), (1, "exit", 0, 0, 0)]  # fmt: skip
    out = json.loads(replayed(replayer, tmp_path, program(trace(chain))).stdout)
    assert out["makespan_ms"] >= 50


def answers(replayer, tmp_path, rows, names=("worker",)):
    out = json.loads(replayed(replayer, tmp_path, program(trace(rows, names=names))).stdout)
    return out, out["answers"], out["answer_max_us"] / 1e3


def test_a_request_takes_from_its_timer_to_the_answer_that_comes_back(replayer, tmp_path):
    """Task 0 wakes 1 every time a timer ends; 1 computes for 20 ms and wakes 0."""
    rows = [(0, "fork", 0, 0, 1), (0, "sleep", 0, 0, 1_000_000), (0, "wake", 100, 0, 0), (0, "wait", 0, 0, 1),
            (0, "exit", 0, 0, 0), (1, "wait", 0, 0, 0), (1, "wake", 20_000, 0, 1), (1, "exit", 0, 0, 0)]  # fmt: skip
    out, count, longest_ms = answers(replayer, tmp_path, rows)
    assert 19 < longest_ms < 900, "with the server's work, without the wait for the timer"
    assert count == 1 and out["answers_per_s"] == pytest.approx(count / out["makespan_ms"] * 1e3, rel=1e-3)


def test_a_request_that_is_handed_on_ends_with_who_wakes_nobody(replayer, tmp_path):
    rows = [(0, "fork", 0, 0, 1), (0, "fork", 0, 0, 2), (0, "sleep", 0, 0, 50_000), (0, "wake", 100, 0, 0),
            (0, "exit", 0, 0, 0), (1, "wait", 0, 0, 0), (1, "wake", 10_000, 0, 1), (1, "exit", 0, 0, 0),
            (2, "wait", 0, 0, 1), (2, "exit", 20_000, 0, 0)]  # fmt: skip
    _, count, longest_ms = answers(replayer, tmp_path, rows)
    assert count == 1 and longest_ms > 29, "the work of both"


def test_the_mean_end_is_that_of_all_tasks_but_the_command_s(replayer, tmp_path):
    rows = [(0, "fork", 0, 0, 1), (0, "fork", 0, 0, 2), (0, "sleep", 0, 0, 900_000), (0, "exit", 0, 0, 0),
            (1, "sleep", 0, 0, 100_000), (1, "exit", 0, 0, 0), (2, "sleep", 0, 0, 300_000),
            (2, "exit", 0, 0, 0)]  # fmt: skip
    out, *_ = answers(replayer, tmp_path, rows)
    assert 200 <= out["mean_end_ms"] < 500 and out["makespan_ms"] >= 900
    alone, *_ = answers(replayer, tmp_path, [(0, "exit", 1000, 0, 0)])
    assert alone["mean_end_ms"] == alone["makespan_ms"]


NAMES = ("çıkış".encode(), b"\xff\xfe\x7f\x80", b'a"\\\n\x1b', b"sixteen bytes: \xc3")


def test_the_probe_and_the_replayer_print_a_name_s_bytes_so_that_they_are_read_again(replayer, tmp_path):
    """In ASCII: their output is JSON, whatever bytes a name has."""
    main = """
        #include "observe_commands.h"
        int main(int argc, char **argv) { for (int i = 1; i < argc; i++) { print_string(argv[i], 16); putchar(10); } }
    """
    probes = Path(bpf.__file__).parent / "probes"
    flags = ["-Wno-unused-function", "-I", probes, "-o", tmp_path / "printing", "-x", "c", "-"]
    subprocess.run(["gcc", *flags], input=main, text=True, check=True)
    lines = subprocess.run([tmp_path / "printing", *NAMES], capture_output=True, check=True).stdout.splitlines()
    assert [comm_printed(json.loads(line.decode("ascii"))) for line in lines] == [comm_text(name) for name in NAMES]
    for name in NAMES:
        done = replayed(replayer, tmp_path, program(trace([(0, "exit", 3000, 0, 0)], command=comm_text(name[:15]))))
        (row,) = json.loads(done.stdout.encode().decode("ascii"))["commands"]
        assert comm_printed(row["comm"]) == comm_text(name[:15])


def test_bursts_longer_than_an_operation_holds_are_divided():
    long_us = 3 * (1 << 28)
    data = program(trace([(0, "exit", long_us, 0, 0)]))
    words = np.frombuffer(data[-4 * 8 :], "<u4")[::2]
    assert sum(int(word) >> 4 for word in words) == long_us
    assert [int(word) & 15 for word in words] == [8, 8, 8, OPS.index("exit")]


@pytest.mark.parametrize("broken", ["magic", "short", "argument", "empty"])
def test_the_replayer_refuses_a_program_that_makes_no_sense(replayer, tmp_path, broken):
    data = bytearray(program(parent_and_child()))
    if broken == "magic":
        data[0] ^= 1
    elif broken == "short":
        del data[-8:]
    elif broken == "argument":
        data[-4 - 6 * 8 : -6 * 8] = (1 << 30).to_bytes(4, "little")
    else:
        data.clear()
    done = replayed(replayer, tmp_path, bytes(data))
    assert done.returncode == 1
    assert done.stderr.startswith("replay: ") and done.stdout == ""


def test_jitter_is_drawn_from_the_seed(replayer, tmp_path):
    def planned(seed, jitter):
        data = program(two_workers_and_a_thread())
        return json.loads(replayed(replayer, tmp_path, data, "--seed", seed, "--jitter-permille", jitter).stdout)[
            "planned_cpu_ms"
        ]

    assert planned(1, 100) == planned(1, 100) != planned(2, 100)
    assert planned(1, 0) == planned(2, 0) == pytest.approx(13)


@pytest.mark.parametrize("path", sorted((BENCHMARKS / "traces").glob("*.parquet")), ids=lambda path: path.stem)
def test_pieces_of_the_projects_traces_can_be_replayed(path):
    whole = read_trace(path)
    assert path.stat().st_size < 310_000
    for skip, cpu_ms in ((0, 700), (300, 700), (500, 5000), (990, 10_000_000)):
        piece = cut(whole, skip, cpu_ms)
        assert first_fault(piece) == ""
        wanted_us = min(cpu_ms * 1000, total_us(whole) * (1000 - skip) // 1000)
        assert total_us(piece) == pytest.approx(wanted_us, rel=0.02)
        assert critical_us(piece) <= total_us(piece) + int(piece.off_us.sum())


def test_a_piece_that_is_all_is_the_whole():
    piece = cut(parent_and_child(), 0, 10_000)
    assert total_us(piece) == 8000 and critical_us(piece) == 10_000


def test_a_task_that_lived_before_the_piece_is_there_with_its_name_and_wait():
    piece = cut(parent_and_child(), 500, 10_000)
    assert piece.tasks == 2 and total_us(piece) == pytest.approx(4000, abs=2)
    assert [OPS[op] for op in piece.op[list(piece.span(0))]] == ["fork", "name", "wait", "sleep", "exit"]
    assert piece.info.names[int(piece.arg[piece.span(1).start])] == "worker"


def test_a_piece_of_nothing_is_an_error():
    with pytest.raises(InputError, match="a piece of a trace that skips 1000 of 1000"):
        cut(parent_and_child(), 1000, 5)


def test_fidelity_compares_makespan_and_shares():
    original = trace([(0, "name", 6000, 0, 0), (0, "exit", 2000, 2000, 0)])
    out = {"commands": [{"comm": "top", "cpu_ms": 6.0}, {"comm": "worker", "cpu_ms": 4.0}], "cpus": 2,
           "makespan_ms": 10.4, "bound_ms": 8.0, "wakeups": 0}  # fmt: skip
    fidelity = compare(original, out)
    assert fidelity.makespan_error == pytest.approx(0.04)
    assert fidelity.share_error == pytest.approx(15) and fidelity.worst_share.name in {"top", "worker"}
    assert fidelity.verdict == "apart" and not fidelity.close
    with pytest.raises(InfraError, match="field 'makespan_ms' is missing"):
        compare(original, {**{k: v for k, v in out.items() if k != "makespan_ms"}})

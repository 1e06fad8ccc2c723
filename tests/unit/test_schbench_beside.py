# SPDX-License-Identifier: Apache-2.0
"""A schbench of the user's beside our model: what is compared, how far apart it is, and in which order policies are."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.programs import program_sources
from benchmarks.workloads import Binary, arguments, asking, workload, workload_ids
from control_plane.bench.schbench_beside import BASELINE, FIGURES, METRIC, Beside, head, main, order, swapped


def row(policy: str, original: float, model: float) -> Beside:
    return Beside(policy, dict.fromkeys(FIGURES, original), dict.fromkeys(FIGURES, model))


def test_a_figure_is_apart_by_a_share_of_the_originals() -> None:
    assert row("fifo", 200, 230).apart(METRIC) == pytest.approx(0.15)
    assert row("fifo", 200, 100).apart("rps") == pytest.approx(-0.5)


def test_a_row_has_a_cell_for_each_column_of_the_head() -> None:
    cells = [line.count("|") for line in (*head(), row("fifo", 1000, 1100).line)]
    assert len(set(cells)) == 1
    assert row("fifo", 1000, 1100).line == "| fifo | 1000 | 1100 | +10% | 1000 | 1100 | +10% | 1000 | 1100 | +10% |"


def test_the_order_is_by_the_presets_metric_and_names_who_changed_places() -> None:
    preset = workload("schbench")
    assert (preset.metric, preset.direction) == (METRIC, "lower")
    rows = [row(BASELINE, 300, 290), row("fifo", 100, 120), row("rr", 110, 100)]
    assert order(rows, "original") == ["fifo", "rr", BASELINE]
    assert order(rows, "model") == ["rr", "fifo", BASELINE]
    assert swapped(rows) == ["fifo / rr: original 0.91, model 1.20"]
    assert swapped([row("a", 1, 2), row("b", 2, 4)]) == []


def test_a_binary_that_is_none_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "schbench").write_text("#!/bin/sh\n")
    assert main(["--schbench", str(tmp_path / "schbench")]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"schbench_beside: {tmp_path}/schbench: not a 64-bit ELF file") and err.count("\n") == 1


def test_a_policy_that_nobody_knows_is_said_before_a_guest_runs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("control_plane.bench.schbench_beside.read_binary", lambda path: b"")
        patch.setattr("control_plane.bench.schbench_beside.run", lambda *job, **limits: pytest.fail("a guest was run"))
        assert main(["--schbench", "schbench", "--policies", "fifo", "nope"]) == 2
    assert "unknown policy 'nope'" in capsys.readouterr().err


def test_every_preset_tells_the_model_the_machines_speed_and_the_original_nothing_of_it() -> None:
    presets = [preset for preset in map(workload, workload_ids()) if preset.family == "schbench"]
    for preset in presets:
        args = arguments(preset, seed=1, accel="tcg", user_ps=105)
        assert args[args.index("--user-ps") + 1] == "105", preset.id
        assert "--user-ps" not in arguments(replace(preset, binary=Binary("/s", "0")), seed=1, accel="tcg", user_ps=105)
    fixed = replace(asking(workload("schbench"), "spread=0"), binary=Binary("/s", "0"))
    assert not {"--spread", "--seed"} & set(arguments(fixed, seed=1, accel="tcg"))


def test_the_models_charge_is_by_the_machines_speed(tmp_path: Path) -> None:
    """With the clock's word for bursts and no clock a request takes next to nothing: what is charged is counted."""
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-static"]
    source = tmp_path / "charge.c"
    worker = next(path for path in program_sources()["schbench"] if path.name == "schbench_worker.c")
    source.write_text(
        f'#include "{worker}"\n#include <stdio.h>\n'
        "struct options opts = {.footprint_kb = 256, .spread = 100};\nstruct stats stats;\natomic_bool stop;\n"
        "atomic_ullong rps_goal;\npthread_barrier_t start;\n"
        "void histogram_add(struct histogram *h, uint64_t ns) { (void)h; (void)ns; }\n"
        "int main(int argc, char **argv) { (void)argc; opts.user_ps = strtoull(argv[1], NULL, 10);\n"
        'printf("%llu %llu\\n", (unsigned long long)PS_PER_STEP, (unsigned long long)PS_EXECUTED_PER_STEP); }\n'
    )
    subprocess.run(["gcc", *flags, f"-I{worker.parent}", "-o", tmp_path / "charge", source], check=True)
    told = [
        subprocess.run([tmp_path / "charge", ps], capture_output=True, text=True, check=True).stdout.split()
        for ps in ("0", "105")
    ]
    assert told == [["1000", "6000"], ["840", "630"]], "today's without a machine; 8 and 6 instructions with one"

# SPDX-License-Identifier: Apache-2.0
"""schbench: our own program on any Linux, what a real one's output says, and which files can be one."""

from __future__ import annotations

import json
import struct
import subprocess

import pytest

from benchmarks.programs import program_sources
from benchmarks.schbench import read_binary, read_output, real_arguments
from benchmarks.workloads import Binary, arguments, job_files, program_of, workload, workload_ids
from policy_lake.errors import InputError

WAKEUP = {"50.0": 6, "90.0": 9, "99.0": 1230, "99.9": 4100}
REQUEST = {"50.0": 5800, "90.0": 9100, "99.0": 40320, "99.9": 61000}
RATES = {"20.0": 880, "50.0": 912, "90.0": 960}


def section(title, values, ends=" min=1, max=70000", unit="usec"):
    lines = [f"{title} percentiles ({unit}) runtime 30 (s) (27300 total samples)"]
    lines += [f"\t{'*' if at == '99.0' else ' '} {at}th: {value:<10} (270 samples)" for at, value in values.items()]
    return "\n".join([*lines, f"\t {ends}\n"])


def block(wakeup=WAKEUP, request=REQUEST, rates=RATES, end="average rps: 910.53\n"):
    parts = [section("Wakeup Latencies", wakeup), section("Request Latencies", request)]
    parts.append(section("RPS", rates, ends=" min=600, max=999", unit="requests"))
    return "".join(parts) + end + "sched delay: message 12 (usec) worker 340 (usec)\n"


FIRST = block(dict.fromkeys(WAKEUP, 1), dict.fromkeys(REQUEST, 2), dict.fromkeys(RATES, 3), "current rps: 4.00\n")


def cut(before):
    """A block whose last line is the one before the first that has `before`."""
    complete = block()
    return complete[: complete.rindex("\n", 0, complete.index(before)) + 1]


def as_json(**changes):
    inner = {f"wakeup_latency_pct{at}": value for at, value in WAKEUP.items()}
    inner |= {f"request_latency_pct{at}": value for at, value in REQUEST.items()}
    inner |= {f"rps_pct{at}": value for at, value in RATES.items()} | {"request_latency_max": 70000, "runtime": 30}
    inner = {name: value for name, value in {**inner, **changes}.items() if value is not None}
    return json.dumps({"normal": {"version": "1.0", "sched_ext": "disabled"}, "int": inner})


def test_the_last_block_of_text_counts():
    figures = read_output("", f"setting worker threads to 4\n{FIRST}{block()}", where="here")
    assert figures == {
        "wakeup_p50_us": 6, "wakeup_p90_us": 9, "wakeup_p99_us": 1230, "wakeup_p999_us": 4100,
        "wakeup_min_us": 1, "wakeup_max_us": 70000,
        "request_p50_us": 5800, "request_p90_us": 9100, "request_p99_us": 40320, "request_p999_us": 61000,
        "request_min_us": 1, "request_max_us": 70000,
        "rps_p20": 880, "rps_p50": 912, "rps_p90": 960, "rps_min": 600, "rps_max": 999,
        "rps": 910.53, "message_delay_us": 12, "worker_delay_us": 340,
    }  # fmt: skip
    assert read_output(block(), "", where="here") == figures, "some builds print to stdout"


def test_an_average_of_an_earlier_block_is_not_the_last_ones():
    assert "rps" not in read_output("", block() + block(end="final rps goal was 900\n"), where="here")


def test_json_says_the_same_under_the_same_names():
    figures, text = read_output(as_json() + "\n", "", where="here"), read_output("", block(), where="here")
    assert figures["request_max_us"] == 70000
    assert {name: figures[name] for name in text if "_p" in name} == {n: v for n, v in text.items() if "_p" in n}


@pytest.mark.parametrize(
    ("err", "said"),
    [
        ("", "no 'Wakeup Latencies percentiles (usec)': not schbench, or another version"),
        ("Latency percentiles (usec)\n\t50.0th: 5\n\t*99.0th: 9\n", "no 'Wakeup Latencies percentiles"),
        (block().replace("(usec)", "(msec)"), "no 'Wakeup Latencies percentiles"),
        (block() + cut("99.0th"), "has no 99.0th under 'Wakeup Latencies percentiles (usec)'"),
        (block() + cut("Request"), "the last block has no 'Request Latencies percentiles (usec)'"),
        (block().replace("Request Latencies percentiles", "Request times"), "the last block has no 'Request Lat"),
        (block(request={**REQUEST, "99.0": "many"}), "field '99.0th' is no number but 'many'"),
        (block(request={**REQUEST, "99.0": "nan"}), "'99.0th': field 'value' must be a finite number"),
        (block(request={at: v for at, v in REQUEST.items() if at != "99.0"}), "has no 99.0th under 'Request"),
        (block(rates={"50.0": 3}), "has no 20.0th under 'RPS percentiles (requests)'"),
        (block()[:-9], "ends in the middle of a line, 'sched delay: message 12 (usec) worker"),
        (block(end="average rps: -1\n"), "'average rps': field 'value' must be a finite number of at least 0"),
    ],
)
def test_what_another_version_or_a_cut_prints_names_the_field(err, said):
    with pytest.raises(InputError) as caught:
        read_output("", err, where="here")
    assert str(caught.value).startswith("here") and said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ('{"results": 1}', "field 'int' is missing"),
        (as_json(**{"request_latency_pct99.0": None}), "no 'request_latency_pct99.0'"),
        (as_json(**{"rps_pct50.0": None}), "no 'rps_pct50.0'"),
        (as_json(**{"request_latency_pct99.0": "fast"}), "'request_latency_pct99.0' is no number"),
        (as_json(**{"request_latency_pct99.0": [1]}), "'request_latency_pct99.0': field 'value' must be of type float"),
    ],
)
def test_json_of_another_version_names_the_field(out, said):
    with pytest.raises(InputError, match="here") as caught:
        read_output(out, block(), where="here")
    assert said in str(caught.value)


def test_arguments_are_said_in_schbenchs_own_terms():
    ours = ("-m", "2", "-L", "--runtime-ms", "600", "--seed", "7", "-s", "100")
    assert real_arguments(ours) == ("-m", "2", "-L", "-r", "1", "-s", "100")
    assert real_arguments(("--runtime-ms", "30000")) == ("-r", "30")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Our program, and a program that is linked dynamically."""
    folder = tmp_path_factory.mktemp("schbench")
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-pthread"]
    sources = program_sources()["schbench"]
    assert len(sources) > 1
    subprocess.run(["gcc", "-static", *flags, "-o", folder / "schbench", *sources], check=True)
    (folder / "main.c").write_text("int main(void) { return 0; }")
    subprocess.run(["gcc", "-o", folder / "dynamic", folder / "main.c"], check=True)
    subprocess.run(["gcc", "-c", "-o", folder / "object", folder / "main.c"], check=True)
    return folder


def test_a_static_program_is_taken_and_goes_with_the_job(built):
    from dataclasses import replace

    binary = read_binary(built / "schbench")
    chosen = replace(workload("schbench"), binary=binary)
    assert program_of(chosen) == "user-schbench"
    assert dict(job_files(chosen)) == {"user-schbench": (built / "schbench").read_bytes()}
    assert dict(job_files(workload("schbench"))) == {}
    args = arguments(chosen, seed=7, accel="tcg")
    assert "--seed" not in args and args[args.index("-r") + 1] == "2"
    with pytest.raises(InputError, match="has changed since"):
        job_files(replace(chosen, binary=Binary(binary.path, "0" * 64)))


def test_what_cannot_run_in_the_guest_is_refused(built, tmp_path):
    program = bytearray((built / "schbench").read_bytes())
    arm = program.copy()
    struct.pack_into("<H", arm, 18, 183)
    for name, data, said in (
        ("script", b"#!/bin/sh\nexec schbench\n", "not a 64-bit ELF file"),
        ("arm", arm, "another machine (183)"),
        ("cut", program[:100], "cut short"),
        ("empty", b"", "not a 64-bit ELF file"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=str(tmp_path / name)) as caught:
            read_binary(tmp_path / name)
        assert said in str(caught.value) and "static x86-64" in str(caught.value)
    for path, said in ((built / "dynamic", "dynamically linked"), (built / "object", "not an ELF program")):
        with pytest.raises(InputError, match=said):
            read_binary(path)
    with pytest.raises(InputError, match="none: cannot be read: No such file"):
        read_binary(tmp_path / "none")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_binary(tmp_path)


def run(built, *args):
    return subprocess.run(
        [built / "schbench", *map(str, args)], capture_output=True, text=True, timeout=60, check=False
    )


SHORT = ("--runtime-ms", 150, "-n", 1, "-F", 8, "-t", 2)


def test_our_program_prints_what_every_preset_is_measured_by(built):
    done = run(built, *SHORT)
    assert done.returncode == 0, done.stderr
    out = json.loads(done.stdout)
    presets = [preset for preset in map(workload, workload_ids()) if preset.family == "schbench"]
    assert {preset.id for preset in presets} >= {"schbench", "schbench-paper", "schbench-paced", "schbench-light"}
    for preset in presets:
        assert {preset.metric, *(guard.metric for guard in preset.guards)} <= set(out)


def test_our_program_tells_the_same_as_text_as_json_and_by_flat_names(built):
    done = run(built, *SHORT)
    out = json.loads(done.stdout)
    text, printed = read_output("", done.stderr, where="text"), read_output(done.stdout, "", where="json")
    for name, value in printed.items():
        assert text[name] == pytest.approx(value, abs=1)
        assert out[name] == pytest.approx(value, abs=1)
    assert out["wakeup_p50_us"] <= out["wakeup_p90_us"] <= out["wakeup_p99_us"] <= out["wakeup_max_us"] * 1.001
    assert out["requests"] > 0 and out["rps"] > 0


def test_options_mean_what_they_mean_in_schbench(built):
    paced = json.loads(run(built, *SHORT, "-R", 200, "-s", 0).stdout)
    # 30 in 150 ms; a busy host leaves some undone, or lets the run take longer.
    assert paced["rps_goal"] == 200 and paced["requests"] >= 10 and paced["rps"] <= 300
    pipe = json.loads(run(built, *SHORT, "-p", 512).stdout)
    assert pipe["requests"] == 0 and pipe["transfers_per_s"] > 0
    auto = json.loads(run(built, "--runtime-ms", 400, "-n", 1, "-F", 8, "-t", 2, "-A", 10, "-s", 0).stdout)
    assert auto["rps_goal"] > 100, "it began at 100, which of so small requests is far below 10 % of a CPU"
    fewer = json.loads(run(built, *SHORT, "-L", "-s", 20000).stdout)
    assert fewer["ok"] and fewer["requests"] <= 2 * 2 * 15  # two workers that think 20 ms (10 at least) in 150 ms


def test_requests_that_nobody_took_count_with_their_age(built):
    """Ten times as many as one worker can do: the tail must show those that are still waiting at the end."""
    out = json.loads(run(built, "--runtime-ms", 200, "-t", 1, "-s", 10000, "-n", 0, "-R", 1000).stdout)
    assert out["rps"] < 150
    assert out["request_p99_us"] > 50_000
    assert out["requests"] > out["rps"] * out["runtime_s"] * 1.5


def test_wrong_work_is_found_out(tmp_path):
    for source in program_sources()["schbench"]:
        text = source.read_text()
        if source.stem == "schbench_worker":
            loop = "for (uint64_t k = {}; k < n; k++)\n\t\tsum"
            text = text.replace(loop.format(0), loop.format(1))
            assert text != source.read_text()
        (tmp_path / source.name).write_text(text)
    for header in program_sources()["schbench"][0].parent.glob("*.h"):
        (tmp_path / header.name).write_text(header.read_text())
    subprocess.run(["gcc", "-O2", "-pthread", "-o", tmp_path / "schbench", *tmp_path.glob("*.c")], check=True)
    done = run(tmp_path, *SHORT)
    assert done.returncode == 1 and json.loads(done.stdout)["ok"] is False


@pytest.mark.parametrize("args", [("-x", 1), ("-m",), ("-m", 0), ("-t", "2x"), ("-r", -1), ("--seed", "")])
def test_wrong_options_are_told_in_one_line(built, args):
    done = run(built, *args)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)

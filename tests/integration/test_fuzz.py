# SPDX-License-Identifier: Apache-2.0
"""A sample of `make fuzz` for each parser, the fuzzer's own work, and hostile files through the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fuzz import inputs
from fuzz_parsers import PARSERS
from hostile import unseen

TESTS = Path(__file__).parents[1]
NAMES = [parser.name for parser in PARSERS]


def fuzzed(name, count=120, seed=7, **environment):
    command = [sys.executable, str(TESTS / "fuzz.py"), "--parser", name, "--count", str(count), "--seed", str(seed)]
    paths = os.pathsep.join(map(str, (TESTS, TESTS.parent, TESTS.parent / "control_plane/face")))
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": paths, **environment}
    )
    return done.returncode, json.loads(done.stdout), done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_a_hundred_hostile_inputs_are_told_soon_and_in_bounds(name):
    status, result, said = fuzzed(name)
    assert (status, result["failures"]) == (0, []), said
    assert result["inputs"] == 120 == result["taken"] + result["told"]
    assert result["slowest_s"] < 1 and result["peak_mib"] < 512


def test_the_same_seed_gives_the_same_inputs():
    first, second, other = (list(inputs(PARSERS[0], 60, seed)) for seed in (1, 1, 2))
    assert first == second != other


def test_a_parser_that_fails_is_found(tmp_path):
    """A traceback, a hang, and gigabytes, each in a module that takes the parser's place."""
    for wrong, told in {
        "raise KeyError(1)": "KeyError", "sum(range(2 * 10**8))": "takes", "bytearray(4 << 30)": "MemoryError",
    }.items():  # fmt: skip
        (tmp_path / "sitecustomize.py").write_text(
            f"import verifier_vm.machine.wire as wire\ndef parse_exit_record(text, *, where):\n    {wrong}\n"
            "    raise wire.InfraError('told')\n"
            "wire.parse_exit_record = parse_exit_record\n"
        )
        command = [sys.executable, str(TESTS / "fuzz.py"), "--parser", "exit record", "--count", "1"]
        paths = os.pathsep.join(map(str, (tmp_path, TESTS, TESTS.parent, TESTS.parent / "control_plane/face")))
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": paths}
        )
        assert done.returncode == 1 and told in done.stdout


def test_words_of_gigabytes_in_a_trace_of_kilobytes_are_told(tmp_path):
    from benchmarks.trace.file import TYPES, parse_trace
    from benchmarks.trace.parquet_process import ParquetReader
    from policy_lake.errors import InputError

    count = 10
    zeros = {name: pa.array(np.zeros(count, "i4" if name == "arg" else "u4")) for name in TYPES if name != "op"}
    words = pa.array([f"{number}" + "x" * (32 << 20) for number in range(count)])
    shipped = next((TESTS.parent / "benchmarks/traces").glob("*.parquet"))
    table = pa.table({name: words if name == "op" else zeros[name] for name in TYPES})
    pq.write_table(
        table.replace_schema_metadata(pq.read_schema(shipped).metadata), tmp_path / "a.parquet", compression="zstd",
        compression_level=1, use_dictionary=False, write_statistics=False,
    )  # fmt: skip
    assert (tmp_path / "a.parquet").stat().st_size < 1 << 20
    with ParquetReader(TYPES) as reader, pytest.raises(InputError, match=r"takes more room|damaged"):
        try:
            parse_trace((tmp_path / "a.parquet").read_bytes(), "a.parquet", reader)
        finally:
            if reader.pid:
                status = Path(f"/proc/{reader.pid}/status").read_text()
                assert int(status.partition("VmHWM:")[2].split()[0]) < 512 << 10, "of KiB"


def schedcp(tmp_path, *arguments, **environment):
    given = {"SCHEDCP_DATA_DIR": str(tmp_path / "data"), "PYTHONPATH": os.pathsep.join(sys.path), "LANG": "C"}
    return subprocess.run(
        [sys.executable, "-m", "schedcp", *map(str, arguments)], capture_output=True, text=True, check=False,
        timeout=100, env={**os.environ, **given, **environment},
    )  # fmt: skip


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "ascii:strict"])
def test_hostile_files_are_one_line_and_status_2_in_any_encoding(tmp_path, encoding):
    folder = tmp_path / "a\x1b[31mb\nc\u202eü"
    folder.mkdir()
    (folder / "x.toml").write_text("id = " + "[" * 60_000)
    os.mkfifo(folder / "pipe.toml")
    (folder / "y.parquet").write_bytes(b"PAR1 and no more")
    for arguments in (
        ("workloads", "show", folder / "x.toml"), ("workloads", "show", folder / "pipe.toml"),
        ("workloads", "add", folder / "y.parquet"), ("verify", folder / "none.bpf.c"), ("token", "show", folder / "t"),
    ):  # fmt: skip
        done = schedcp(tmp_path, *arguments, PYTHONIOENCODING=encoding)
        assert done.returncode == 2, done.stderr
        assert len(done.stderr.splitlines()) == 1 and not unseen(done.stderr, lines=True), done.stderr
        assert done.stderr.startswith("schedcp: ") and "a\\x1b[31mb" in done.stderr


def test_a_workload_with_names_from_elsewhere_is_shown_in_ascii(tmp_path):
    path = tmp_path / "w.toml"
    path.write_text(
        'id = "own"\ntitle = "Zürich \\u001b[31m"\ngoal = "schnell\\nund mehr"\nprogram = "batch"\nargs = []\n'
        'metric = "m"\nunit = "µs"\ndirection = "lower"\ntimeout_s = 5\ncpus = 1\n', encoding="utf-8"
    )  # fmt: skip
    done = schedcp(tmp_path, "workloads", "show", path, PYTHONIOENCODING="ascii")
    assert done.returncode == 0 and "Z\\xfcrich \\x1b[31m" in done.stdout and "schnell\\nund" in done.stdout
    assert not done.stderr and not unseen(done.stdout, lines=True)
    printed = json.loads(schedcp(tmp_path, "workloads", "show", path, "--json", PYTHONIOENCODING="ascii").stdout)
    assert printed["title"] == "Zürich \x1b[31m", "JSON has the text itself"

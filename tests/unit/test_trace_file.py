# SPDX-License-Identifier: Apache-2.0
"""Traces as files: what is written is read again, and what is wrong is told with file and field."""

import contextlib
import json
import os
import random
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from trace_cases import parent_and_child, trace

from benchmarks.trace import parquet_process
from benchmarks.trace.file import TYPES, checksum, encode_trace, hash_names, parse_trace, read_trace, write_trace
from benchmarks.trace.parquet_process import ParquetReader
from benchmarks.trace.tasks import COLUMNS, OPS, cpu_by_name, with_footprints
from policy_lake.errors import InfraError, InputError

TRACES = Path(__file__).parents[2] / "benchmarks/traces"


@pytest.fixture(autouse=True, scope="module")
def one_reader():
    """One process for all files here: to start one takes as long as to read a hundred."""
    with ParquetReader(TYPES) as reader, pytest.MonkeyPatch.context() as patched:
        patched.setattr("benchmarks.trace.file.ParquetReader", lambda _: contextlib.nullcontext(reader))
        yield


@pytest.fixture
def path(tmp_path):
    write_trace(parent_and_child(), tmp_path / "a.parquet")
    return tmp_path / "a.parquet"


def rewritten(path, *, columns=None, **metadata):
    """The file with other columns or other metadata."""
    table = pq.read_table(path)
    table = table.replace_schema_metadata(
        {**table.schema.metadata, **{f"schedcp.trace.{k}".encode(): v for k, v in metadata.items()}}
    )
    if columns:
        table = columns(table)
    pq.write_table(signed(table), path)
    return path


def signed(table):
    """The table under the checksum of what is in it, as whoever makes a hostile trace would write it."""
    if not set(COLUMNS) <= set(table.column_names):
        return table
    try:
        plain = {name: table.column(name).to_numpy().astype(np.int64) for name in COLUMNS if name != "op"}
    except ValueError:
        return table
    plain["op"] = np.array([OPS.index(op) for op in table.column("op").to_pylist()])
    text = table.schema.metadata
    sha256 = checksum(text[b"schedcp.trace.info"], plain).encode()
    return table.replace_schema_metadata({**text, b"schedcp.trace.sha256": sha256})


def info(path, **changed):
    text = pq.read_schema(path).metadata[b"schedcp.trace.info"]
    return json.dumps({**json.loads(text), **changed})


def test_what_is_written_is_read_again(path):
    read, written = read_trace(path), parent_and_child()
    assert read.info == written.info
    for name in COLUMNS:
        assert np.array_equal(getattr(read, name), getattr(written, name)), name


def test_every_truncation_is_told_with_the_files_name(path):
    data = path.read_bytes()
    for length in (0, 3, 4, 100, len(data) // 2, len(data) - 1):
        with pytest.raises(InputError, match=r"a\.parquet: (truncated or damaged|not a trace)"):
            parse_trace(data[:length], "a.parquet")


@pytest.mark.parametrize(("version", "told"), [("4", "version '4'"), ("", "none")])
def test_another_version_is_told(path, version, told):
    with pytest.raises(InputError, match=rf"a\.parquet: field 'schedcp\.trace\.version': {told}, and this reads 3"):
        read_trace(rewritten(path, version=version))


def test_a_parquet_file_that_is_no_trace(tmp_path):
    pq.write_table(pa.table({"x": [1]}), tmp_path / "x.parquet")
    with pytest.raises(InputError, match=r"field 'schedcp\.trace\.version': none"):
        read_trace(tmp_path / "x.parquet")
    (tmp_path / "y.parquet").write_text("no Parquet")
    with pytest.raises(InputError, match=r"y\.parquet: not a trace"):
        read_trace(tmp_path / "y.parquet")
    with pytest.raises(InputError, match=r"z\.parquet: cannot be read"):
        read_trace(tmp_path / "z.parquet")


@pytest.mark.parametrize(
    ("changed", "field"),
    [({"cpus": "2"}, "cpus"), ({"wall_us": None}, "wall_us"), ({"more": 1}, "more"), ({"names": [1]}, r"names\.0"),
     ({"cpus": 0}, "cpus"), ({"names": ["a" * 16]}, "names"), ({"command": "a" * 16}, "names"),
     ({"cpus": 10**8}, "cpus"), ({"wall_us": 10**18}, "wall_us"), ({"wakeups": -1}, "wakeups"),
     ({"delays_us": [-1.0]}, "delays_us"), ({"delays_us": [1.0] * 99}, "names"), ({"kernel": "6" * 99}, "names"),
     ({"busy_share": 1e9}, "busy_share"), ({"footprints_kib": {"top": 0}}, "footprints_kib"),
     ({"footprints_kib": {"top": 1 << 18}}, "footprints_kib"), ({"footprints_kib": {"who": 4}}, "footprints_kib"),
     ({"footprints_kib": {"top": "4"}}, r"footprints_kib\.top"), ({"footprints_from": "tea"}, "footprints_from"),
     ({"\x1b[31m": 1}, r"\\x1b\[31m")],
)  # fmt: skip
def test_wrong_information_is_told_with_its_field(path, changed, field):
    with pytest.raises(InputError, match=rf"a\.parquet: field '{field}'"):
        read_trace(rewritten(path, info=info(path, **changed)))


def test_missing_and_mistyped_columns_are_told(path):
    with pytest.raises(InputError, match="field 'after_us' is missing"):
        read_trace(rewritten(path, columns=lambda table: table.drop_columns(["after_us"])))


def test_a_mistyped_column_is_told(path):
    def as_text(table):
        return table.set_column(4, "arg", table.column("arg").cast(pa.string()))

    with pytest.raises(InputError, match="field 'arg' must be of type int32"):
        read_trace(rewritten(path, columns=as_text))


def test_zero_tasks_are_told(path):
    with pytest.raises(InputError, match="field 'task': zero tasks"):
        read_trace(rewritten(path, columns=lambda table: table.slice(0, 0)))


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([(1, "exit", 1, 0, 0)], "field 'task', row 0"),
        ([(0, "exit", 1, 0, 0), (2, "exit", 1, 0, 0)], "field 'task', row 1"),
        ([(0, "sleep", 1, 0, 5)], "field 'op', row 0: 'exit' must be the last"),
        ([(0, "exit", 1, 0, 0), (0, "exit", 1, 0, 0)], "field 'op', row 0"),
        ([(0, "fork", 1, 0, 1), (0, "exit", 0, 0, 0)], "field 'arg', row 0: must be from 1 to 0"),
        ([(0, "name", 1, 0, 1), (0, "exit", 0, 0, 0)], "field 'arg', row 0: must be from 0 to 0"),
        ([(0, "nice", 1, 0, 20), (0, "exit", 0, 0, 0)], "field 'arg', row 0: must be from -20 to 19"),
        ([(0, "sleep", 1, 0, -1), (0, "exit", 0, 0, 0)], "field 'arg', row 0: must be from 0"),
        ([(0, "exit", 0, 0, 0), (1, "exit", 0, 0, 0)], "a task is made twice, or never"),
        ([(0, "wake", 0, 0, 0), (0, "exit", 0, 0, 0)], "an edge is not woken once and waited for once"),
        ([(0, "wait", 0, 0, 0), (0, "wake", 0, 0, 0), (0, "exit", 0, 0, 0)], "task 0 waits for a wake-up that never"),
        ([(0, "exit", 0, 0, 0), (1, "fork", 0, 0, 1), (1, "exit", 0, 0, 0)], "a task is never made"),
        ([(0, "sleep", 0, 0, 5), (0, "exit", 0, 0, 0)], "field 'after_us': no CPU time at all"),
        ([(0, "sleep", 1, 0, 61_000_000), (0, "exit", 0, 0, 0)], "field 'wall_us': 10000 us of makespan have no room"),
        ([(0, "fork", 1, 0, 1), (0, "exit", 0, 0, 0), (1, "exit", 2**32 - 1, 0, 0)], "no room for task 1, which runs"),
        ([(0, "sleep", 10_000, 0, 103), (0, "exit", 0, 0, 0)], "which runs and sleeps for 10103 us"),
    ],
)
def test_what_could_not_be_replayed_to_its_end_is_told(tmp_path, rows, told):
    write_trace(trace(rows), tmp_path / "b.parquet")
    with pytest.raises(InputError, match=told) as raised:
        read_trace(tmp_path / "b.parquet")
    assert "b.parquet" in str(raised.value)


def test_a_task_may_take_the_whole_makespan_give_or_take_what_rounding_makes_of_it(tmp_path):
    write_trace(trace([(0, "sleep", 10_000, 0, 102), (0, "exit", 0, 0, 0)]), tmp_path / "b.parquet")
    assert read_trace(tmp_path / "b.parquet").info.wall_us == 10_000


def test_damage_that_is_well_formed_is_told_by_the_checksum(path):
    table = pq.read_table(path)
    changed = table.set_column(2, "after_us", pa.array([1] * len(table), pa.uint32()))
    pq.write_table(changed, path)
    with pytest.raises(InputError, match="it is not what its checksum"):
        read_trace(path)
    without = {k: v for k, v in table.schema.metadata.items() if k != b"schedcp.trace.sha256"}
    pq.write_table(table.replace_schema_metadata(without), path)
    with pytest.raises(InputError, match="it is not what its checksum"):
        read_trace(path)


def test_a_trace_of_the_version_before_footprints_is_read(path):
    without = json.loads(info(path))
    del without["footprints_kib"], without["footprints_from"]
    read = read_trace(rewritten(path, version="2", info=json.dumps(without)))
    assert read.info == parent_and_child().info and read.info.footprints_kib == {}


def test_a_trace_of_the_version_without_a_checksum_is_read(path):
    table = pq.read_table(path)
    text = {k: v for k, v in table.schema.metadata.items() if k != b"schedcp.trace.sha256"}
    pq.write_table(table.replace_schema_metadata({**text, b"schedcp.trace.version": b"1"}), path)
    assert read_trace(path).info == parent_and_child().info


def test_what_ships_has_a_checksum():
    for shipped in TRACES.glob("*.parquet"):
        text = pq.read_schema(shipped).metadata
        assert text[b"schedcp.trace.version"] == b"2" and len(text[b"schedcp.trace.sha256"]) == 64


def test_a_task_whose_number_asks_for_gigabytes_is_told(path):
    def numbered(table):
        return table.set_column(0, "task", pa.array([0] * (len(table) - 1) + [2**32 - 1], pa.uint32()))

    with pytest.raises(InputError, match="field 'task', row 6: tasks are not numbered one after the other"):
        read_trace(rewritten(path, columns=numbered))


@pytest.mark.parametrize(
    ("rows", "op", "told"),
    [
        (2 << 20, lambda rows: pa.DictionaryArray.from_arrays(np.zeros(rows, "i1"), ["exit"]), "more operations"),
        (300, lambda rows: pa.array([str(i) for i in range(rows)]), "too many different words"),
    ],
    ids=["rows", "words"],
)
def test_a_small_file_that_asks_for_gigabytes_is_told(tmp_path, rows, op, told):
    zeros = {name: np.zeros(rows, "i4" if name == "arg" else "u4") for name in COLUMNS if name != "op"}
    table = pa.table({name: op(rows) if name == "op" else pa.array(zeros[name]) for name in COLUMNS})
    text = pq.read_schema(next(TRACES.glob("*.parquet"))).metadata
    pq.write_table(table.replace_schema_metadata(text), tmp_path / "a.parquet", compression="zstd",
                   compression_level=1, use_dictionary=False, write_statistics=False)  # fmt: skip
    assert (tmp_path / "a.parquet").stat().st_size < 1 << 20
    with ParquetReader(TYPES) as reader, pytest.raises(InputError, match=told):
        try:
            parse_trace((tmp_path / "a.parquet").read_bytes(), "a.parquet", reader)
        finally:
            if reader.pid:
                status = Path(f"/proc/{reader.pid}/status").read_text()
                assert int(re.search(r"VmHWM:\s+(\d+)", status)[1]) < 512 << 10, "of KiB"


def test_what_reading_ends_is_told_and_the_next_file_is_read(path):
    with ParquetReader(TYPES) as reader:
        data = bytearray(path.read_bytes())
        chance, ended = random.Random(1), 0
        for _ in range(400):
            broken = bytearray(data)
            broken[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            before = reader.pid
            with contextlib.suppress(InputError):
                parse_trace(bytes(broken), "a.parquet", reader)
            ended += bool(before) and reader.pid != before
        assert parse_trace(bytes(data), "a.parquet", reader).info == parent_and_child().info
    assert not reader.pid


def test_a_trace_too_large_to_be_read_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.trace.file.TRACE_OPS", 3)
    with pytest.raises(InputError, match="at most 3"):
        write_trace(parent_and_child(), tmp_path / "a.parquet")
    assert not list(tmp_path.iterdir()) and encode_trace(parent_and_child())


def test_a_named_pipe_is_no_trace(tmp_path):
    os.mkfifo(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="no plain file"):
        read_trace(tmp_path / "a.parquet")


def test_hashed_names_tell_which_are_equal_and_no_more():
    made = trace(
        [(0, "name", 10, 0, 0), (0, "name", 20, 0, 1), (0, "exit", 30, 0, 0)], names=("make", "cc1"), command="make"
    )
    made = with_footprints(made, {"make": 7, "cc1": 9})
    hashed, again = hash_names(made), hash_names(made)
    assert hashed.info.footprints_kib == dict(zip(hashed.info.names, (7, 9), strict=True))
    assert hashed.info.hashed
    assert hashed.info.names[0] == hashed.info.command != hashed.info.names[1]
    assert not {"make", "cc1"} & {*hashed.info.names, hashed.info.command}
    assert again.info.names != hashed.info.names
    assert sorted(cpu_by_name(hashed).values()) == sorted(cpu_by_name(made).values())


def test_a_trace_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "none").write_text("")
    with pytest.raises(InfraError, match=r"none/a.parquet: (File exists|Not a directory)"):
        write_trace(parent_and_child(), tmp_path / "none" / "a.parquet")


def test_without_its_libraries_no_file_is_called_damaged(path, tmp_path, monkeypatch):
    server = tmp_path / "server.py"
    source = parquet_process.SERVER.read_text()
    server.write_text(source.replace("import pyarrow as pa", "import pyarrow_of_another_python as pa"))
    monkeypatch.setattr(parquet_process, "SERVER", server)
    with ParquetReader(TYPES) as reader, pytest.raises(InfraError, match="pyarrow cannot be loaded"):
        parse_trace(path.read_bytes(), "a.parquet", reader)

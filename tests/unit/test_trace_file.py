# SPDX-License-Identifier: Apache-2.0
"""Traces as files: what is written is read again, and what is wrong is told with file and field."""

import json
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from trace_cases import parent_and_child, trace

from benchmarks.trace.file import hash_names, parse_trace, read_trace, write_trace
from benchmarks.trace.tasks import COLUMNS, cpu_by_name
from policy_lake.errors import InfraError, InputError


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
    pq.write_table(table, path)
    return path


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


def test_flipped_bytes_never_give_a_traceback(path):
    data, chance = path.read_bytes(), random.Random(1)
    for _ in range(300):
        broken = bytearray(data)
        broken[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        try:
            parse_trace(bytes(broken), "a.parquet")
        except InputError as error:
            assert "a.parquet" in str(error)


@pytest.mark.parametrize(("version", "told"), [("2", "version '2'"), ("", "none")])
def test_another_version_is_told(path, version, told):
    with pytest.raises(InputError, match=rf"a\.parquet: field 'schedcp\.trace\.version': {told}, and this reads 1"):
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
     ({"cpus": 0}, "cpus"), ({"names": ["a" * 16]}, "names")],
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
    ],
)
def test_what_could_not_be_replayed_to_its_end_is_told(tmp_path, rows, told):
    write_trace(trace(rows), tmp_path / "b.parquet")
    with pytest.raises(InputError, match=told) as raised:
        read_trace(tmp_path / "b.parquet")
    assert "b.parquet" in str(raised.value)


def test_hashed_names_tell_which_are_equal_and_no_more():
    made = trace(
        [(0, "name", 10, 0, 0), (0, "name", 20, 0, 1), (0, "exit", 30, 0, 0)], names=("make", "cc1"), command="make"
    )
    hashed, again = hash_names(made), hash_names(made)
    assert hashed.info.hashed
    assert hashed.info.names[0] == hashed.info.command != hashed.info.names[1]
    assert not {"make", "cc1"} & {*hashed.info.names, hashed.info.command}
    assert again.info.names != hashed.info.names
    assert sorted(cpu_by_name(hashed).values()) == sorted(cpu_by_name(made).values())


def test_a_trace_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "none").write_text("")
    with pytest.raises(InfraError, match=r"none/a.parquet: (File exists|Not a directory)"):
        write_trace(parent_and_child(), tmp_path / "none" / "a.parquet")

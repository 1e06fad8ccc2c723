# SPDX-License-Identifier: Apache-2.0
"""Lakes moved between teams: same digest, same row; other digits are an alarm; nothing here is overwritten."""

from __future__ import annotations

import secrets
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flow_cases import PROFILE
from test_drive import INPUTS

from policy_lake.embed import embedder
from policy_lake.errors import InputError
from policy_lake.exchange import COLUMNS, ConflictError, export_lake, file_source, lake_source, take
from policy_lake.journal import encode
from policy_lake.lake import Lake
from policy_lake.measurement import Measurement
from policy_lake.model import from_json
from policy_lake.records import Run


def measurement(seed: int, host: str = "alpha", **changes: Any) -> Measurement:
    inputs = replace(INPUTS, work_seed=seed)
    return replace(Measurement(inputs.key, "batch", "ljf", inputs, {"makespan_ms": 5.0}, host=host), **changes)


@pytest.fixture
def make(tmp_path: Path) -> Any:
    return lambda name: Lake(tmp_path / name, embedder=embedder("hash:8"))


RUN = Run("batch-1", "batch", "done", "2026-11-28T00:00:00+00:00")


def exported(make: Any, tmp_path: Path, *records: Any, name: str = "theirs") -> Path:
    lake = make(name)
    lake.put(*records)
    export_lake(lake, tmp_path / f"{name}.parquet", host="beta")
    return tmp_path / f"{name}.parquet"


def test_rows_go_from_lake_to_lake_and_again_nothing_is_new(make: Any, tmp_path: Path) -> None:
    file = exported(
        make, tmp_path, measurement(1), measurement(2), PROFILE, RUN, replace(RUN, id="r", status="running")
    )
    ours = make("ours")
    ours.put(measurement(2, host="gamma"), replace(PROFILE, wall_s=9.9))
    taken = take(ours, file_source(file), host="gamma")
    assert (taken.new, taken.known, taken.kept) == (
        {"measurements": 1, "runs": 1},
        {"measurements": 1},
        {"profiles": 1},
    )
    assert {one.host for one in ours.all("measurements")} == {"alpha", "gamma"} and ours.profiles()[0].wall_s == 9.9
    before = ours.path.joinpath("journal.jsonl").read_bytes()
    again = take(ours, file_source(file), host="gamma")
    assert not again.new and ours.path.joinpath("journal.jsonl").read_bytes() == before
    merged = take(make("third"), lake_source(ours.path), host="delta")
    assert merged.new == {"measurements": 2, "profiles": 1, "runs": 1}


@pytest.mark.parametrize("by", ["file", "directory"])
def test_other_digits_of_one_run_name_both_hosts_and_nothing_is_taken(make: Any, tmp_path: Path, by: str) -> None:
    other = measurement(2, host="beta", metrics={"makespan_ms": 5.1})
    file = exported(make, tmp_path, measurement(1), other)
    ours = make("ours")
    ours.put(measurement(2))
    before = ours.path.joinpath("journal.jsonl").read_bytes()
    with pytest.raises(ConflictError, match=r"other digits on alpha than on beta .* nothing was taken") as alarm:
        take(ours, file_source(file) if by == "file" else lake_source(make("theirs").path), host="here")
    assert alarm.value.exit_status == 5 and alarm.value.code == "conflict"
    assert ours.path.joinpath("journal.jsonl").read_bytes() == before


def test_a_row_that_was_put_meanwhile_is_not_overwritten(make: Any, tmp_path: Path) -> None:
    ours = make("ours")
    ours.put(measurement(1))
    line = encode(measurement(1, metrics={"makespan_ms": 7.0}))
    assert ours.add([line, encode(measurement(3))]) == [("measurements", measurement(1).id)]
    assert ours.measurements([measurement(1).id])[measurement(1).id].metrics == {"makespan_ms": 5.0}
    assert len(ours.all("measurements")) == 2


def written(tmp_path: Path, rows: list[dict[str, Any]], version: bytes | None = b"1", **more: Any) -> Path:
    metadata = {b"schedcp.host": b"beta", **({b"schedcp.lake": version} if version else {})}
    schema = more.pop("schema", pa.schema([(name, pa.string()) for name in COLUMNS])).with_metadata(metadata)
    path = tmp_path / f"{secrets.token_hex(4)}.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, **more)
    return path


def row(record: Any, **changes: Any) -> dict[str, Any]:
    line = encode(record)
    return {"kind": line.kind, "id": record.id, "sha256": line.sha256, "data": line.text, **changes}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "passwords"}, "row 1: the unknown kind 'passwords'"),
        ({"kind": None}, "row 1: the unknown kind 'None'"),
        ({"sha256": "0" * 64}, "row 1: its digest is not that of its record"),
        ({"id": "another"}, "row 1: its id is not that of its record"),
        ({"data": None}, "row 1: no record"),
        ({"data": "{"}, "row 1: its digest"),
    ],
)
def test_a_row_that_is_wrong_is_named_and_nothing_is_taken(
    make: Any, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    ours = make("ours")
    with pytest.raises(InputError, match=said):
        take(ours, file_source(written(tmp_path, [row(measurement(1), **changes)])), host="here")
    assert not ours.path.exists() or not ours.all("measurements")


def test_a_measurement_that_is_not_named_by_its_inputs_is_none(make: Any, tmp_path: Path) -> None:
    file = written(tmp_path, [row(replace(measurement(1), id="forged"))])
    with pytest.raises(InputError, match="not the digest of its inputs"):
        take(make("ours"), file_source(file), host="here")


def test_a_file_that_is_none_or_of_another_version_or_too_large_is_one_line(tmp_path: Path, monkeypatch: Any) -> None:
    from policy_lake import exchange

    good = [row(measurement(seed)) for seed in range(3)]
    wrong = pa.schema([("kind", pa.string()), ("id", pa.int64()), ("sha256", pa.string()), ("data", pa.string())])
    (tmp_path / "text.parquet").write_text("no parquet")
    for path, said in (
        (tmp_path / "none.parquet", "cannot be read"),
        (tmp_path / "text.parquet", "no lake's export"),
        (written(tmp_path, good, version=b"2"), "of version 2; this schedcp reads version 1"),
        (written(tmp_path, good, version=None), "of no version"),
        (written(tmp_path, [], schema=wrong), "has the columns kind, id, sha256, data, all texts"),
    ):
        with pytest.raises(InputError, match=said) as told:
            file_source(path)
        assert "\n" not in str(told.value)
    monkeypatch.setattr(exchange, "EXCHANGE_ROWS", 2)
    with pytest.raises(InputError, match="3 rows, more than 2"):
        file_source(written(tmp_path, good))
    monkeypatch.setattr(exchange, "EXCHANGE_ROWS", 3)
    monkeypatch.setattr(exchange, "GROUP", 2)
    with pytest.raises(InputError, match="a group of more than 2 rows"):
        file_source(written(tmp_path, good))
    with pytest.raises(InputError, match="no lake is there"):
        lake_source(tmp_path)


def test_a_record_of_another_version_is_told(make: Any, tmp_path: Path) -> None:
    from policy_lake.journal import digest

    text = encode(measurement(1)).text.replace('"metrics"', '"figures"')
    file = written(tmp_path, [row(measurement(1), data=text, sha256=digest("measurements", text))])
    with pytest.raises(InputError, match="was written by another version of schedcp"):
        take(make("ours"), file_source(file), host="here")
    assert from_json(Measurement, encode(measurement(1)).data) == measurement(1)


def test_the_command_ends_with_its_own_status_for_the_alarm(make: Any, tmp_path: Path) -> None:
    import os

    file = exported(make, tmp_path, measurement(2, host="beta", metrics={"makespan_ms": 5.1}))
    make("ours").put(measurement(2))
    env = {**os.environ, "SCHEDCP_LAKE": str(tmp_path / "ours"), "SCHEDCP_DATA_DIR": str(tmp_path / "data"),
           "SCHEDCP_EMBEDDER": "hash:8"}  # fmt: skip
    program = "from control_plane.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "lake", "import", str(file)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 5 and done.stdout == "" and done.stderr.count("\n") == 1
    assert "alpha" in done.stderr and "beta" in done.stderr

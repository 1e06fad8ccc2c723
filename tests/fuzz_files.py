# SPDX-License-Identifier: Apache-2.0
"""Parsers of files and bytes from outside, each with valid ones to start from."""

from __future__ import annotations

import base64
import json
import random
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fuzz_inputs import changed_in, text
from hostile import unseen

from policy_lake.errors import InfraError, SchedcpError

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests/golden"
Parse = Callable[[bytes], object]


@contextmanager
def descriptor_parser() -> Iterator[Parse]:
    from benchmarks.workloads import ACCELS, arguments, sizes_of, workload

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.toml"

        def parse(data: bytes) -> None:
            path.write_bytes(data)
            described = workload(str(path))
            for accel in ACCELS:
                for tier in sizes_of(described):
                    arguments(described, seed=1, accel=accel, tier=tier)

        yield parse


def descriptors() -> list[bytes]:
    return [
        path.read_bytes().replace(b'id = "', b'id = "own-').replace(b'trace = "../traces/', b'#trace = "')
        for path in sorted((ROOT / "benchmarks/workloads").glob("*.toml"))
    ]


@contextmanager
def machine_parser() -> Iterator[Parse]:
    """What can be read can be scaled, and written and read again as the same."""
    from benchmarks.machine_file import read_machine
    from benchmarks.machine_text import descriptor_text
    from benchmarks.scaled_machine import at

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.toml"

        def parse(data: bytes) -> None:
            path.write_bytes(data)
            model = read_machine(path)
            for cpus in (1, 3, 8, 64):
                path.write_text(descriptor_text(at(model, cpus).model))
                assert read_machine(path) == at(model, cpus).model

        yield parse


def machines() -> list[bytes]:
    return [path.read_bytes() for path in sorted((ROOT / "benchmarks/machines").glob("*.toml"))]


@contextmanager
def trace_parser() -> Iterator[Parse]:
    from benchmarks.trace.cut import cut
    from benchmarks.trace.file import TYPES, parse_trace
    from benchmarks.trace.parquet_process import ParquetReader
    from benchmarks.trace.program import program
    from benchmarks.trace.tasks import cpu_by_name

    with ParquetReader(TYPES) as reader:

        def parse(data: bytes) -> None:
            trace = parse_trace(data, "a.parquet", reader)
            cpu_by_name(trace)
            program(trace)
            cut(trace, 300, 1)

        parse.reader = reader  # type: ignore[attr-defined]
        yield parse


def traces() -> list[bytes]:
    from trace_cases import parent_and_child

    from benchmarks.trace.file import encode_trace

    rng, whole = random.Random(0), parent_and_child()
    made = [encode_trace(whole)]
    for _ in range(300):
        columns = {name: getattr(whole, name).copy() for name in ("task", "op", "after_us", "off_us", "arg")}
        for _ in range(rng.choice((1, 2, 6))):
            name = rng.choice(list(columns))
            high = 7 if name == "op" else rng.choice((9, 2**31 - 1, 2**32 - 1 if name != "arg" else 7))
            columns[name][rng.randrange(7)] = rng.choice((0, high, rng.randint(0, high)))
        # Not a Trace, whose size its last task sets: what an enemy writes need not be one.
        said = {**json.loads(json.dumps(whole.info.to_json()))}
        if rng.random() < 0.5:
            said = changed_in(rng, said)
        made.append(_file(columns, json.dumps(said).encode(errors="replace")))
    return made


def _file(columns: Any, info: bytes) -> bytes:
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    from benchmarks.trace.file import checksum
    from benchmarks.trace.tasks import OPS

    plain = {name: pa.array(columns[name], "int32" if name == "arg" else "uint32") for name in columns if name != "op"}
    words = pa.array([OPS[code] for code in columns["op"]])
    table = pa.table({name: words if name == "op" else plain[name] for name in columns})
    names = ("schedcp.trace.version", "schedcp.trace.info", "schedcp.trace.sha256")
    metadata = dict(zip(names, (b"2", info, checksum(info, columns).encode()), strict=True))
    out = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(metadata), out, compression="zstd")
    return out.getvalue()


FORMAT = "ID: {id}\n\tfield:int a;\toffset:8;\tsize:4;\tsigned:1;\n\tfield:int b;\toffset:12;\tsize:4;\tsigned:1;\n" + (
    "\tfield:int c;\toffset:16;\tsize:8;\tsigned:0;\n\tfield:char d[16];\toffset:8;\tsize:16;\tsigned:0;\n"
)


@contextmanager
def perf_parser() -> Iterator[Parse]:
    from benchmarks.trace.build import build_trace
    from benchmarks.trace.perf_data import read_events, read_format
    from benchmarks.trace.tracepoints import WANTED

    fields = {2: ("a", "b"), 4: ("a", "b", "c", "a"), 1: ("a",), 3: ("a", "d", "c")}
    formats = [
        read_format(name, FORMAT.format(id=number), fields[len(wanted)])
        for number, (name, wanted) in enumerate(WANTED.items())
    ]
    known = {known.id: known for known in formats}

    def parse(data: bytes) -> None:
        events = sorted(read_events(data, known, where="perf.data"), key=lambda event: event.time_ns)
        build_trace(events, 1, kernel="6", cpus=(0, 1), busy_share=0.5, stolen_share=0.0, base_nice=0)

    yield parse


def recordings() -> list[bytes]:
    rng = random.Random(0)
    made = []
    for _ in range(20):
        records = [_sample(2, 1, 1, 0, 0)]
        records += [_sample(rng.randrange(7), rng.choice((0, 1, 2, 3)), rng.choice((0, 1, 2, 3)), rng.randrange(300),
                            time) for time in range(rng.randrange(60))]  # fmt: skip
        records += [_sample(0, 1, 1, 0x30, 90)]
        made.append(_recording(b"".join(records)))
    return made


def _sample(tracepoint: int, current: int, pid: int, number: int, time: int) -> bytes:
    raw = struct.pack("<HBBi", tracepoint, 0, 0, current) + struct.pack(
        "<iiQ", pid, pid if tracepoint == 2 else 120, number
    )
    raw += struct.pack("<i", number % 4)
    body = struct.pack("<QII", 1000 * time, 0, 0) + struct.pack("<I", len(raw)) + raw
    return struct.pack("<IHH", 9, 0, 8 + len(body)) + body


def _recording(records: bytes) -> bytes:
    attr = struct.pack("<IIQQQ", 2, 128, 0, 1, 4 | 1 << 7 | 1 << 10).ljust(144, b"\0")
    header = b"PERFILE2" + struct.pack("<8Q", 104, 144, 104, 144, 248, len(records), 0, 0)
    return header.ljust(104, b"\0") + attr + records


@contextmanager
def token_parser() -> Iterator[Parse]:
    from token_cases import issue

    from control_plane.token import words_of
    from policy_lake.show import for_terminal
    from verifier_vm.tokens.dsse import open_unverified, seal, unseal
    from verifier_vm.tokens.key_store import open_key_store
    from verifier_vm.tokens.public_key import PUBLIC, read_public_key
    from verifier_vm.tokens.statement import parse_payload, refusal_of

    with tempfile.TemporaryDirectory() as folder:
        keys = Path(folder) / "keys"
        issue(keys)
        public = read_public_key(keys / PUBLIC)
        with open_key_store(keys) as store:
            signing = store.key

        def parse(data: bytes) -> None:
            # A statement is put under a good signature: what a stolen key could make.
            envelope = text(seal(data, signing)) if data.startswith(b'{"_type"') else data
            payload, _, _ = open_unverified(envelope)
            token = parse_payload(payload)
            if refusal_of(token) is None:
                assert not unseen("".join(map(for_terminal, words_of(token))))
            unseal(envelope, public)

        yield parse


def tokens() -> list[bytes]:
    from token_cases import issue

    with tempfile.TemporaryDirectory() as folder:
        envelope = issue(Path(folder) / "keys")
    return [json.dumps(envelope).encode(), base64.b64decode(envelope["payload"])]


@contextmanager
def lake_parser() -> Iterator[Parse]:
    from policy_lake.journal import Journal, digest
    from policy_lake.rows import to_entry, to_record, to_rows

    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "journal.jsonl")

        def parse(data: bytes) -> None:
            kind, _, body = data.partition(b" ")
            if body[:1] in b"{[":  # under a checksum, as whoever knows how it is made would write it
                words = body.decode("utf-8", "replace").replace("\n", " ")
                name = kind.decode("utf-8", "replace").replace('"', "")
                sha256 = digest(name, words.encode("utf-8", "replace").decode())
                data = (
                    b'{"sha256":"'
                    + sha256.encode()
                    + f'","kind":"{name}","data":{words}}}\n'.encode("utf-8", "replace")
                )
            journal.path.write_bytes(data)
            lines = list(journal.read())
            to_rows(lines, lambda texts: [[0.0] * 8 for _ in texts], 8)
            for line in lines:
                entry = to_entry({"id": "x", "kind": line.kind, "sha256": line.sha256, "data": line.text})
                json.dumps(entry.data, allow_nan=False)
                to_record(entry)

        yield parse


def lines() -> list[bytes]:
    from flow_cases import PROFILE, REJECTION, candidate, policy, score

    from policy_lake.journal import encode
    from policy_lake.model import Lesson
    from policy_lake.records import Rejected, Run

    made = candidate("ljf-1", slice_ns=5)
    records = [policy("ljf"), PROFILE, made, score(made), Rejected(made, REJECTION, "batch"),
               Lesson("l", "r", "batch", "ljf", "text"), Run("r", "batch", "done", "2026")]  # fmt: skip
    lines = [encode(record) for record in records]
    old = (GOLDEN / "lake-before-knob-values.jsonl").read_bytes()
    return [*(f"{line.kind} {line.text}".encode() for line in lines), b"".join(line.raw for line in lines), old]


@contextmanager
def object_parser() -> Iterator[Parse]:
    from verifier_vm.object.analyse import FAILED, analyse_object

    def parse(data: bytes) -> None:
        stage = analyse_object(data, ())
        assert not stage.evidence.startswith(FAILED), stage.evidence

    yield parse


def objects() -> list[bytes]:
    from verifier_vm.object.fuzz import inputs, read_objects

    good = read_objects(GOLDEN / "objects")
    return [*good, *(data for _, data, _ in inputs(good, 200, 1))]


def token_errors() -> tuple[type[SchedcpError], ...]:
    from verifier_vm.tokens.errors import TokenError

    return (TokenError,)


def lake_errors() -> tuple[type[SchedcpError], ...]:
    from policy_lake.records import LakeError

    return (LakeError, InfraError)

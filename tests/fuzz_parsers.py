# SPDX-License-Identifier: Apache-2.0
"""Every parser of what comes from outside, with valid inputs to start from and what it may say of another one."""

from __future__ import annotations

import base64
import json
import random
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fuzz_inputs import BYTES, JSON, NUMBERS, TEXT, Change, changed_in, text
from hostile import NAMES, unseen

from policy_lake.errors import InfraError, InputError, LostVMError, SchedcpError

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests/golden"
Parse = Callable[[bytes], object]


@dataclass(frozen=True)
class Parser:
    """`opened` gives the parser and what its process is beside ours; `errors` is all that it may raise."""

    name: str
    errors: tuple[type[SchedcpError], ...]
    opened: Callable[[], Any]
    changes: Sequence[Change]
    most: int  # bytes of the largest monster
    seeds: Callable[[], list[bytes]]
    extra: dict[str, Any] = field(default_factory=dict)


@contextmanager
def _descriptor() -> Iterator[Parse]:
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


def _descriptors() -> list[bytes]:
    return [
        path.read_bytes().replace(b'id = "', b'id = "own-').replace(b'trace = "../traces/', b'#trace = "')
        for path in sorted((ROOT / "benchmarks/workloads").glob("*.toml"))
    ]


@contextmanager
def _trace() -> Iterator[Parse]:
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


def _traces() -> list[bytes]:
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
def _perf() -> Iterator[Parse]:
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


def _recordings() -> list[bytes]:
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
def _token() -> Iterator[Parse]:
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


def _tokens() -> list[bytes]:
    from token_cases import issue

    with tempfile.TemporaryDirectory() as folder:
        envelope = issue(Path(folder) / "keys")
    return [json.dumps(envelope).encode(), base64.b64decode(envelope["payload"])]


@contextmanager
def _schbench() -> Iterator[Parse]:
    from benchmarks.output import last_line, last_object
    from benchmarks.schbench import read_output

    def parse(data: bytes) -> None:
        said = data.decode("utf-8", "replace")
        last_line(said)
        try:
            read_output(said, "", where="run")
        except InputError:
            read_output("", said, where="run")
            last_object(said, where="run", error=InputError)

    yield parse


def _outputs() -> list[bytes]:
    def section(name: str, unit: str, points: Sequence[str]) -> str:
        rows = "".join(f"\t  {point}th: {number:<10} (1 samples)\n" for number, point in enumerate(points, 10))
        return f"{name} percentiles ({unit}) runtime 1 (s) (5 total samples)\n{rows}\t  min=1, max=99\n"

    points = ("50.0", "90.0", "99.0", "99.9")
    block = section("Wakeup Latencies", "usec", points) + section("Request Latencies", "usec", points)
    block += section("RPS", "requests", ("20.0", "50.0", "90.0")) + "average rps: 910.53\n"
    inner = {f"{stem}_pct{at}": 1 for stem in ("wakeup_latency", "request_latency") for at in points}
    inner |= {f"rps_pct{at}": 2 for at in ("20.0", "50.0", "90.0")}
    return [(block * 2).encode(), text({"int": inner}), b'noise\n{"makespan_ms": 1.5, "ok": true}\n']


@contextmanager
def _answer() -> Iterator[Parse]:
    from planner_cases import context
    from planner_endpoint import send, serving

    from policy_lake.journal import encode
    from policy_lake.model import Candidate
    from tasks.planners import model
    from tasks.planners.choose import planner

    model.ATTEMPTS = 1
    body: list[bytes] = [b""]

    def turn(handler: Any) -> None:
        if body[0].startswith(b"raw "):
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(body[0]) - 4))
            handler.end_headers()
            handler.wfile.write(body[0][4:])
            return
        message = {"role": "assistant", "content": body[0].decode("utf-8", "surrogateescape")}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
        send(handler, 200, {"id": "x", "object": "chat.completion", "created": 1, "model": "tiny", "choices": [choice],
                            "usage": usage})  # fmt: skip

    with serving() as start:
        endpoint = start(turn).says(max_tokens_total=10**9)

        def parse(data: bytes) -> None:
            body[0] = data
            for plan in planner(endpoint).plan(context()):
                assert len(plan.reason) < 5000 and not unseen(plan.reason)
                candidate = Candidate("c", "r", 1, plan.policy, "s", plan.knob_values, plan.reason, plan.planner)
                encode(candidate)

        parse(b"{}")  # two seconds of imports
        yield parse


def _answers() -> list[bytes]:
    value = {"knob": "slice_ns", "value": 5_000_000}
    plans = [{"policy": "rr", "knob_values": [value], "reason": "why"}, {"policy": "ljf", "knob_values": []}]
    content = json.dumps({"plans": plans})
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    body = {"id": "x", "object": "chat.completion", "created": 1, "model": "tiny", "choices": [choice],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}  # fmt: skip
    return [content.encode(), f"```json\n{content}\n```".encode(), b"raw " + text(body)]


@contextmanager
def _event() -> Iterator[Parse]:
    from policy_lake.guest import GuestReport
    from verifier_vm.judge.stages import Reader
    from verifier_vm.judge.suite import SHORT
    from verifier_vm.machine.wire import StepEvent, parse_event

    golden = [parse_event(line) for line in _events()]

    def parse(data: bytes) -> None:
        event = parse_event(data)
        steps = tuple(event if getattr(event, "label", 0) == getattr(known, "label", 1) else known for known in golden)
        assert GuestReport
        Reader(b"object", SHORT, 2000).read([step for step in steps if isinstance(step, StepEvent)], kernel="7")

    yield parse


def _events() -> list[bytes]:
    names = ("accepted", "rejected_by_verifier", "stalled")
    return [text(event) for name in names for event in json.loads((GOLDEN / f"{name}.json").read_text())]


@contextmanager
def _exit_record() -> Iterator[Parse]:
    from policy_lake.show import for_terminal
    from verifier_vm.judge.kernel_words import cause_of_exit
    from verifier_vm.machine.wire import parse_exit_record

    def parse(data: bytes) -> None:
        record = parse_exit_record(data.decode("utf-8", "replace"), where="detach")
        cause_of_exit(record.words)
        assert not unseen(for_terminal(record)) and record.clean in (True, False)

    yield parse


@contextmanager
def _profile() -> Iterator[Parse]:
    from gate_events import events, labelled

    from benchmarks.profile import LABEL, read_profile
    from benchmarks.workloads import workload
    from policy_lake.guest import GuestReport

    ran = next(event for event in events("accepted") if event.label.startswith("baseline:"))
    assert labelled

    def parse(data: bytes) -> None:
        event = replace(ran, label=LABEL, out=data.decode("utf-8", "replace"), err="", exit=0, ok=True)
        read_profile(workload("batch"), GuestReport((event,), "7", "tcg", 1.0, ""))

    yield parse


def _profiles() -> list[bytes]:
    command = {"comm": "job", "tasks": 2, "wakeups": 3, "switches": 4, "burst_log2_us": [1, 2, 3], "wait_log2_us": [4]}
    command |= dict.fromkeys(("cpu_ns", "cpu_ns_max_task", "wait_ns", "sleep_ns"), 10**9)
    result = {"makespan_ms": 5.0, "bound_ms": 1.0, "mean_end_ms": 2.0}
    probed = {
        "exit": 0,
        "wall_ns": 10**9,
        "cpus": 2,
        "commands": [command, {**command, "comm": "x"}],
        "out": text(result).decode(),
    }
    return [text(probed)]


@contextmanager
def _timeline() -> Iterator[Parse]:
    from benchmarks.timeline import busiest, read_timeline

    def parse(data: bytes) -> None:
        timeline = read_timeline(data.decode("utf-8", "replace"), where="run")
        busiest([timeline], 7)
        assert timeline.cpus <= 1024

    yield parse


@contextmanager
def _reading() -> Iterator[Parse]:
    from gate_events import events

    from verifier_vm.judge.readings import read_run

    ran = next(event for event in events("accepted") if event.label.startswith("policy:"))

    def parse(data: bytes) -> None:
        read_run(replace(ran, out=data.decode("utf-8", "replace")))

    yield parse


def _readings() -> list[bytes]:
    from gate_events import events

    from policy_lake.events import ProgramEvent

    return [event.out.encode() for event in events("accepted") if isinstance(event, ProgramEvent) and event.exercise]


@contextmanager
def _lake() -> Iterator[Parse]:
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


def _lines() -> list[bytes]:
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
def _object() -> Iterator[Parse]:
    from verifier_vm.object.analyse import FAILED, analyse_object

    def parse(data: bytes) -> None:
        stage = analyse_object(data, ())
        assert not stage.evidence.startswith(FAILED), stage.evidence

    yield parse


def _objects() -> list[bytes]:
    from verifier_vm.object.fuzz import inputs, read_objects

    good = read_objects(GOLDEN / "objects")
    return [*good, *(data for _, data, _ in inputs(good, 200, 1))]


@contextmanager
def _numbers() -> Iterator[Parse]:
    from policy_lake.knobs import parse_knob_values, settle
    from policy_lake.limits import CPUS
    from policy_lake.model import Knob, Policy

    knobs = (Knob("slice_ns", "int", "1", "", 1, 100, c_type="u64"), Knob("names", "names", "", "", count=4),
             Knob("ints", "ints", "", "", count=4, c_type="s32"), Knob("on", "bool", "0", ""))  # fmt: skip
    policy = Policy("p", "p", "", "", "", "", knobs)

    def parse(data: bytes) -> None:
        words = data.decode("utf-8", "surrogateescape").split("\n")
        settled = settle(policy, parse_knob_values(words))
        assert not unseen("".join(map(str, settled.values())))
        CPUS.parse(words[0].partition("=")[2])

    yield parse


def _token_errors() -> tuple[type[SchedcpError], ...]:
    from verifier_vm.tokens.errors import TokenError

    return (TokenError,)


def _lake_errors() -> tuple[type[SchedcpError], ...]:
    from policy_lake.records import LakeError

    return (LakeError, InfraError)


KINDS = (0, 64, 1026, *NUMBERS[:8])
EXITS = [f"exit\t{kind}\t0\t{reason}\tCPU 3: {name}" for kind in KINDS for reason, name in NAMES.items()]
KNOBS = ["slice_ns=5\nnames=a,b\nints=1,2\non=true", *(f"names={name}" for name in NAMES.values())]


def _encoded(texts: Sequence[str]) -> Callable[[], list[bytes]]:
    return lambda: [text.encode(errors="replace") for text in texts]


PARSERS = (
    Parser("descriptor", (InputError,), _descriptor, TEXT, 200_000, _descriptors),
    Parser("trace", (InputError,), _trace, BYTES, 1 << 20, _traces),
    Parser("perf data", (InfraError,), _perf, BYTES, 1 << 20, _recordings),
    Parser("token", _token_errors(), _token, JSON, 2 << 20, _tokens),
    Parser("schbench output", (InputError,), _schbench, JSON, 5 << 20, _outputs),
    Parser("model answer", (), _answer, JSON, 5 << 20, _answers),
    Parser("guest event", (InfraError,), _event, JSON, 16 << 20, _events),
    Parser("exit record", (InfraError,), _exit_record, TEXT, 1 << 20, _encoded(EXITS)),
    Parser("profile", (InfraError, InputError), _profile, JSON, 5 << 20, _profiles),
    Parser("timeline", (InfraError,), _timeline, TEXT, 5 << 20, lambda: [(GOLDEN / "timeline.txt").read_bytes()]),
    Parser("suite reading", (LostVMError,), _reading, JSON, 5 << 20, _readings),
    Parser("lake rows", _lake_errors(), _lake, JSON, 5 << 20, _lines),
    Parser("object", (), _object, BYTES, 1 << 20, _objects),
    Parser("knobs and numbers", (InputError,), _numbers, TEXT, 1 << 20, _encoded(KNOBS)),
)  # fmt: skip

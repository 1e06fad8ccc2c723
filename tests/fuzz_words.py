# SPDX-License-Identifier: Apache-2.0
"""Parsers of what programs, guests, models and users say, each with something valid to start from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fuzz_inputs import NUMBERS, text
from hostile import NAMES, unseen

from policy_lake.errors import InputError

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests/golden"
Parse = Callable[[bytes], object]


@contextmanager
def schbench_parser() -> Iterator[Parse]:
    from benchmarks.output import last_line
    from benchmarks.schbench import read_output
    from policy_lake.printed import last_object

    def parse(data: bytes) -> None:
        said = data.decode("utf-8", "replace")
        last_line(said)
        try:
            read_output(said, "", where="run")
        except InputError:
            read_output("", said, where="run")
            last_object(said, where="run", error=InputError)

    yield parse


def outputs() -> list[bytes]:
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
def answer_parser() -> Iterator[Parse]:
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


def answers() -> list[bytes]:
    value = {"knob": "slice_ns", "value": 5_000_000}
    plans = [{"policy": "rr", "knob_values": [value], "reason": "why"}, {"policy": "ljf", "knob_values": []}]
    content = json.dumps({"plans": plans})
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    body = {"id": "x", "object": "chat.completion", "created": 1, "model": "tiny", "choices": [choice],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}  # fmt: skip
    return [content.encode(), f"```json\n{content}\n```".encode(), b"raw " + text(body)]


@contextmanager
def event_parser() -> Iterator[Parse]:
    from policy_lake.guest import GuestReport
    from verifier_vm.judge.stages import Reader
    from verifier_vm.judge.suite import SHORT
    from verifier_vm.machine.wire import StepEvent, parse_event

    golden = [parse_event(line) for line in events()]

    def parse(data: bytes) -> None:
        event = parse_event(data)
        steps = tuple(event if getattr(event, "label", 0) == getattr(known, "label", 1) else known for known in golden)
        assert GuestReport
        Reader(b"object", SHORT, 2000).read([step for step in steps if isinstance(step, StepEvent)], kernel="7")

    yield parse


def events() -> list[bytes]:
    names = ("accepted", "rejected_by_verifier", "stalled")
    return [text(event) for name in names for event in json.loads((GOLDEN / f"{name}.json").read_text())]


@contextmanager
def exit_record_parser() -> Iterator[Parse]:
    from policy_lake.show import for_terminal
    from verifier_vm.judge.kernel_words import cause_of_exit
    from verifier_vm.machine.wire import parse_exit_record

    def parse(data: bytes) -> None:
        record = parse_exit_record(data.decode("utf-8", "replace"), where="detach")
        cause_of_exit(record.words)
        assert not unseen(for_terminal(record)) and record.clean in (True, False)

    yield parse


@contextmanager
def profile_parser() -> Iterator[Parse]:
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


def profiles() -> list[bytes]:
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
def timeline_parser() -> Iterator[Parse]:
    from benchmarks.timeline import busiest, read_timeline

    def parse(data: bytes) -> None:
        timeline = read_timeline(data.decode("utf-8", "replace"), where="run")
        busiest([timeline], 7)
        assert timeline.cpus <= 1024

    yield parse


def timelines() -> list[bytes]:
    return [(GOLDEN / "timeline.txt").read_bytes()]


@contextmanager
def reading_parser() -> Iterator[Parse]:
    from gate_events import events

    from verifier_vm.judge.readings import read_run

    ran = next(event for event in events("accepted") if event.label.startswith("policy:"))

    def parse(data: bytes) -> None:
        read_run(replace(ran, out=data.decode("utf-8", "replace")))

    yield parse


def readings() -> list[bytes]:
    from gate_events import events

    from policy_lake.events import ProgramEvent

    return [event.out.encode() for event in events("accepted") if isinstance(event, ProgramEvent) and event.exercise]


@contextmanager
def numbers_parser() -> Iterator[Parse]:
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


KINDS = (0, 64, 1026, *NUMBERS[:8])


EXITS = [f"exit\t{kind}\t0\t{reason}\tCPU 3: {name}" for kind in KINDS for reason, name in NAMES.items()]


KNOBS = ["slice_ns=5\nnames=a,b\nints=1,2\non=true", *(f"names={name}" for name in NAMES.values())]

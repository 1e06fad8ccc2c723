# SPDX-License-Identifier: Apache-2.0
"""From the lines that a guest's init prints (verifier_vm/guest/{init,attach,run,child,kernel}.c) to records.

The only place that reads them. A line that is not what init prints is an InfraError that names event, field and value.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, get_args

from policy_lake.errors import SETUP, InfraError
from policy_lake.events import (
    Attached,
    Counters,
    Detached,
    Done,
    Event,
    Hello,
    LaidOut,
    NotDone,
    Phase,
    Ran,
    Ready,
    Rested,
    SchedState,
    Started,
    StepEvent,
    Stopped,
    Verb,
    Watch,
)
from policy_lake.exit_record import ExitRecord
from policy_lake.limits import DUMP_BYTES, EVENT_BRACKETS, EVENT_BYTES, KERNEL_LINE, LONGEST_NAME
from policy_lake.show import bytes_printed, is_utf8
from verifier_vm.machine.declared import parse_declared
from verifier_vm.machine.layout import LayoutError, parse_layout

PROTOCOL = 3
_INT_BITS = 64  # what the guest prints is at most an unsigned 64-bit number
_EXIT_FIELDS = 5  # "exit KIND CODE REASON MESSAGE", tabs between


class Fields:
    """A JSON object of an event, read field by field; `where` names it."""

    def __init__(self, data: object, where: str, path: str = "") -> None:
        if not isinstance(data, Mapping):
            raise InfraError(f"{where}: is no object but {data!r:.60}")
        self._data: Mapping[str, Any] = data
        self.where = where
        self._path = path

    def __contains__(self, name: str) -> bool:
        return name in self._data

    def _take(self, name: str, kind: str, fits: Callable[[Any], bool]) -> Any:
        path = f"{self._path}.{name}" if self._path else name
        if name not in self._data:
            raise InfraError(f"{self.where}: field '{path}' is missing")
        value = self._data[name]
        if not fits(value):
            raise InfraError(f"{self.where}: field '{path}' must be {kind}, not {value!r:.60}")
        return value

    def text(self, name: str) -> str:
        return bytes_printed(self._take(name, "text", _is_text))

    def flag(self, name: str) -> bool:
        return bool(self._take(name, "true or false", lambda value: isinstance(value, bool)))

    def integer(self, name: str, *, least: int = -(2**63)) -> int:
        """A 64-bit integer of at least `least`."""
        return int(self._take(name, f"an integer of at least {least}", lambda value: _is_int(value) and value >= least))

    def seconds(self, name: str) -> float:
        """A finite number, not below 0."""
        return float(self._take(name, "a finite number of at least 0", _is_time))

    def lines(self, name: str) -> tuple[str, ...]:
        lines = self._take(name, "a list of lines", lambda v: isinstance(v, list) and all(map(_is_line, v)))
        return tuple(map(bytes_printed, lines))

    def word(self, name: str, known: tuple[str, ...]) -> Any:
        return self._take(name, f"one of {', '.join(known)}", lambda value: _is_text(value) and value in known)

    def inner(self, name: str) -> Fields:
        path = f"{self._path}.{name}" if self._path else name
        return Fields(self._take(name, "an object", lambda v: isinstance(v, Mapping)), self.where, path)

    def counts(self) -> dict[str, int]:
        return {name: self.integer(name) for name in self._data}


def parse_event(line: bytes, *, wall_s: float = 0.0) -> Event:
    """The record of one line; `wall_s` is the host's time since the event before."""
    if len(line) > EVENT_BYTES or line.count(b"[") + line.count(b"{") > EVENT_BRACKETS:
        raise InfraError(f"the guest sent an event larger than any: {len(line)} bytes, {line[:60]!r}…")
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InfraError(f"the guest sent no event but {line[:120]!r}") from error
    event = Fields(data, "the guest's event")
    kind = event.word("event", ("ready", "hello", "step", "done"))
    event.where = f"event '{kind}'"
    if kind == "step":
        return _step(event, wall_s)
    if kind == "done":
        return Done()
    if (protocol := event.integer("protocol")) != PROTOCOL:
        raise InfraError(f"{event.where}: field 'protocol' must be {PROTOCOL}, not {protocol}: run `{SETUP}`")
    greeting = Ready if kind == "ready" else Hello
    return greeting(
        kernel=event.text("kernel"), cpus=event.integer("cpus", least=1),
        switch_address=event.integer("switch_address", least=0),
    )  # fmt: skip


def parse_step(line: str) -> StepEvent:
    """The record of a step's line that was kept; InfraError if it is of no step."""
    event = parse_event(line.encode())
    if not isinstance(event, StepEvent):
        raise InfraError(f"a kept line is of no step: {line[:120]!r}")
    return event


def parse_exit_record(text: str, *, where: str) -> ExitRecord:
    """The record in the loader's line "exit KIND CODE REASON MESSAGE"; an empty line is one that never came."""
    if not text:
        return ExitRecord()
    fields = text.split("\t")
    if (
        len(text) > KERNEL_LINE
        or len(fields) != _EXIT_FIELDS
        or fields[0] != "exit"
        or not all(map(_is_number, fields[1:3]))
    ):
        raise InfraError(f"{where}: field 'exit_record' must be an exit record, not {text!r:.120}")
    return ExitRecord(int(fields[1]), int(fields[2]), fields[3], fields[4])


def _step(event: Fields, wall_s: float) -> StepEvent:
    verb: Verb = event.word("verb", get_args(Verb))
    label = event.text("label")
    event.where = f"{verb} step '{label[:LONGEST_NAME]}'"
    known: dict[str, Any] = {
        "label": label, "ok": event.flag("ok"), "seconds": event.seconds("seconds"), "wall_s": wall_s,
        "kmsg": event.lines("kmsg"),
    }  # fmt: skip
    # init says nothing but why of a step that it could not begin.
    bodies: dict[Verb, str] = {
        "attach": "enable_seq",
        "layout": "layout",
        "detach": "exit_record",
        "start": "",
        "rest": "",
    }
    body = bodies.get(verb, "sched")
    if not known["ok"] and body not in event and not ("exit" in event or "sched" in event):
        why = next((name for name in ("err", "log") if name in event), "")
        return NotDone(**known, verb=verb, err=event.text(why) if why else "")
    if verb == "attach":
        return _attached(event, known)
    if verb == "layout":
        return _laid_out(event.text("layout"), known)
    if verb == "detach":
        record = parse_exit_record(event.text("exit_record"), where=event.where)
        return Detached(
            **known, sched=_state(event.inner("sched")), exit_record=record, log=event.text("log"), dump=_dump(event)
        )
    if verb in ("start", "rest"):
        return Started(**known) if verb == "start" else Rested(**known)
    return Stopped(**_program(event, known)) if verb == "stop" else Ran(**_program(event, known))


def _attached(event: Fields, known: dict[str, Any]) -> Attached:
    ended: dict[str, Any] = {}
    if not known["ok"]:
        record = event.text("exit_record") if "exit_record" in event else ""
        ended = {
            "exit_record": parse_exit_record(record, where=event.where), "timed_out": event.flag("timed_out"),
            "loader_signal": event.integer("loader_signal", least=0), "dump": _dump(event),
        }  # fmt: skip
    return Attached(
        **known, **ended, phase=event.word("phase", get_args(Phase)), ops=event.text("ops"),
        enable_seq=event.integer("enable_seq", least=0), sched=_state(event.inner("sched")), log=event.text("log"),
        declared=parse_declared(event.text("log"), where=event.where),
    )  # fmt: skip


def _dump(event: Fields) -> str:
    """The kernel's dump; events that were kept before init sent one have none."""
    dump = event.text("dump") if "dump" in event else ""
    if len(dump) > DUMP_BYTES:
        raise InfraError(f"{event.where}: field 'dump' must have at most {DUMP_BYTES} characters, not {len(dump)}")
    return dump


def _laid_out(layout: str, known: dict[str, Any]) -> LaidOut:
    try:
        return LaidOut(**known, programs=parse_layout(layout))
    except LayoutError as error:
        return LaidOut(**known, unknown=str(error))


def _program(event: Fields, known: dict[str, Any]) -> dict[str, Any]:
    sched, events = event.inner("sched"), event.inner("events")
    watch = Watch(
        _state(sched.inner("before")), _state(sched.inner("after")), sched.integer("samples", least=0),
        sched.integer("attached", least=0),
    )  # fmt: skip
    if watch.attached > watch.samples:
        why = f"must be at most 'sched.samples' ({watch.samples}), not {watch.attached}"
        raise InfraError(f"{event.where}: field 'sched.attached' {why}")
    return {
        **known, "exit": event.integer("exit"), "signal": event.integer("signal", least=0),
        "timed_out": event.flag("timed_out"), "ended": event.flag("ended"), "out": event.text("out"),
        "err": event.text("err"), "dropped": event.integer("dropped", least=0), "sched": watch,
        "counters": Counters(events.inner("before").counts(), events.inner("after").counts()),
    }  # fmt: skip


def _state(sched: Fields) -> SchedState:
    return SchedState(sched.text("state"), sched.text("ops"), sched.integer("enable_seq", least=0))


def _is_text(value: object) -> bool:
    """Text that can be written anywhere: JSON can spell halves of surrogate pairs, which init never sends."""
    return isinstance(value, str) and is_utf8(value)


def _is_line(value: object) -> bool:
    return _is_text(value) and len(str(value)) <= KERNEL_LINE


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2 ** (_INT_BITS - 1)) <= value < 2**_INT_BITS


def _is_time(value: object) -> bool:
    if _is_int(value):
        return isinstance(value, int) and value >= 0
    return isinstance(value, float) and math.isfinite(value) and value >= 0


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"-?[0-9]{1,20}", text)) and _is_int(int(text))

# SPDX-License-Identifier: Apache-2.0
"""The guest's lines as records: every wrong field is named, and nothing but an InfraError comes of it."""

from __future__ import annotations

import copy
import json

import pytest
from gate_events import GOLDEN
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_lake.errors import InfraError
from policy_lake.events import Attached, Detached, Done, Hello, NotDone, Ran, Started, Stopped
from policy_lake.exit_record import ExitKind, ExitRecord
from verifier_vm.machine.wire import parse_event, parse_exit_record

ACCEPTED = json.loads((GOLDEN / "accepted.json").read_text())
REFUSED = json.loads((GOLDEN / "rejected_by_verifier.json").read_text())[0]
HELLO = {"event": "hello", "kernel": "7.3.4", "cpus": 2, "switch_address": 1, "protocol": 3}
KINDS = {"attach": Attached, "detach": Detached, "run": Ran, "start": Started, "stop": Stopped}


def parse(data, **options):
    return parse_event(json.dumps(data).encode(), **options)


def step(verb):
    return copy.deepcopy(next(line for line in ACCEPTED if line["verb"] == verb))


def replaced(data, path, value):
    """`data` with the field `a.b.c` set to `value`, or removed if that is `...`."""
    made = copy.deepcopy(data)
    *outer, last = path.split(".")
    inner = made
    for name in outer:
        inner = inner[name]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return made


@pytest.mark.parametrize(
    ("said", "text"),
    [(b"caf\xc3\xa9", "café"), (b"caf\xc3", "caf\\xc3"), ("日".encode(), "日"), (b"plain ?", "plain ?")],
)
def test_what_a_guest_printed_is_told_byte_by_byte_and_read_as_utf_8(said, text):
    line = step("run") | {"out": said.decode("latin-1"), "kmsg": [said.decode("latin-1")]}
    assert (parse(line).out, parse(line).kmsg) == (text, (text,))
    assert parse(step("run") | {"out": "ı"}).out == "ı", "no byte: as it stands"


def test_a_real_guests_lines_become_records():
    for line in ACCEPTED:
        record = parse(line)
        assert type(record) is KINDS[line["verb"]]
        assert (record.label, record.ok, list(record.kmsg)) == (line["label"], line["ok"], line["kmsg"])
    run = parse(step("run"), wall_s=1.5)
    assert (run.sched.samples, run.sched.steady, run.role, run.exercise) == (19, True, "policy", "W28")
    assert run.counters.after["SCX_EV_BYPASS_ACTIVATE"] == 1 and run.wall_s == 1.5
    refused = parse(REFUSED)
    assert (refused.ok, refused.phase, refused.timed_out, refused.loader_signal) == (False, "load", False, 0)
    assert parse(HELLO) == Hello(kernel="7.3.4", cpus=2, switch_address=1)
    assert parse({"event": "done"}) == Done()


def test_the_hosts_time_has_no_part_in_what_a_run_is():
    assert parse(step("run"), wall_s=1.0) == parse(step("run"), wall_s=2.0)


@pytest.mark.parametrize(
    ("label", "role", "exercise"),
    [
        ("policy:W4-same", "policy", "W4-same"), ("baseline:W1", "baseline", "W1"), ("policy-3", "policy", ""),
        ("control-0", "control", ""), ("baseline-0", "baseline", ""), ("warm-up", None, ""),
        ("attach-control-0", None, ""),
        ("policy", None, ""), ("other:x", None, ""), ("", None, ""),
    ],
)  # fmt: skip
def test_roles_are_read_from_labels(label, role, exercise):
    record = parse(replaced(step("run"), "label", label))
    assert (record.role, record.exercise) == (role, exercise)


@pytest.mark.parametrize(
    ("verb", "left"), [("run", ("err",)), ("start", ("err",)), ("stop", ()), ("detach", ()), ("attach", ("log",))]
)
def test_a_step_that_was_not_begun_is_another_record_that_says_why(verb, left):
    kept = ("event", "index", "verb", "label", "seconds", "kmsg")
    data = {name: value for name, value in step(verb).items() if name in kept}
    data |= {"ok": False, **dict.fromkeys(left, "cannot fork")}
    record = parse(data)
    assert isinstance(record, NotDone)
    assert (record.verb, record.err) == (verb, "cannot fork" if left else "")
    if verb != "start":
        with pytest.raises(InfraError, match="is missing"):
            parse(data | {"ok": True})


FIELDS = {
    "run": [
        "verb", "label", "ok", "seconds", "kmsg", "exit", "signal", "timed_out", "ended", "out", "err", "dropped",
        "sched", "sched.before", "sched.before.state", "sched.after.ops", "sched.after.enable_seq", "sched.samples",
        "sched.attached", "events", "events.before", "events.after",
    ],
    "attach": ["phase", "ops", "enable_seq", "sched", "sched.state", "log"],
    "detach": ["exit_record", "sched", "sched.ops", "log"],
    "stop": ["exit", "sched.before.state"],
}  # fmt: skip


@pytest.mark.parametrize(("verb", "path"), [(verb, path) for verb, paths in FIELDS.items() for path in paths])
@pytest.mark.parametrize(
    "value", [..., None, 1.5, [[]], -(2**63) - 1, 2**64, float("nan"), "\ud800", 10**400], ids=repr
)
def test_a_missing_or_wrong_field_is_named_with_its_event(verb, path, value):
    if path == "seconds" and value == 1.5:
        return
    with pytest.raises(InfraError, match=rf"field '{path.replace('.', '[.]')}'") as raised:
        parse(replaced(step(verb), path, value))
    if path not in ("verb", "label"):
        assert f"{verb} step '{step(verb)['label']}'" in str(raised.value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("ok", "yes"), ("ok", 1), ("exit", True), ("seconds", -1), ("seconds", "1"), ("seconds", True), ("kmsg", [1]),
        ("kmsg", "text"), ("sched.samples", -1), ("sched.attached", 74), ("sched.attached", -1),
        ("sched.before.enable_seq", True), ("sched.before.enable_seq", "1"), ("events.after", {"SCX": "1"}),
        ("verb", "dance"), ("event", "party"), ("out", 5),
    ],
)  # fmt: skip
def test_a_nonsense_field_is_an_error(path, value):
    with pytest.raises(InfraError, match="field"):
        parse(replaced(step("run"), path, value))


def test_a_refused_attachment_says_how_its_loader_ended():
    for path in ("timed_out", "loader_signal"):
        with pytest.raises(InfraError, match=f"field '{path}' is missing"):
            parse(replaced(REFUSED, path, ...))
    for path, value in (("phase", "party"), ("exit_record", "nonsense"), ("loader_signal", -1)):
        with pytest.raises(InfraError, match=f"field '{path}' must be"):
            parse(replaced(REFUSED, path, value))
    record = parse({**REFUSED, "exit_record": "exit\t1025\t0\tscx_bpf_error\tinit"}).exit_record
    assert record == ExitRecord(ExitKind.ERROR_BPF, 0, "scx_bpf_error", "init")


def test_another_protocol_is_refused_with_its_cure():
    with pytest.raises(InfraError, match="'protocol' must be 3, not 4: run `make setup`"):
        parse(HELLO | {"protocol": 4})


def test_an_exit_record_is_read_and_none_is_one_of_no_kind():
    record = parse_exit_record("exit\t1026\t4294967296\trunnable task stall\tx failed", where="here")
    assert (record.kind, record.code, record.words) == (1026, 1 << 32, "runnable task stall: x failed")
    assert str(record) == "exit kind 1026, code 4294967296: runnable task stall x failed"
    assert parse_exit_record("", where="here") == ExitRecord() == parse_exit_record("exit\t-1\t0\t\t", where="here")
    for text in (
        "exit",
        "exit\tx\t0\t\t",
        "exit\t1\t0\t",
        "exit\t1\t0\t\t\t",
        "left\t1\t0\t\t",
        "exit\t1\t" + "9" * 30 + "\t\t",
    ):
        with pytest.raises(InfraError, match="here: field 'exit_record' must be an exit record"):
            parse_exit_record(text, where="here")


@pytest.mark.parametrize("kind", [*ExitKind, 7, 4096])
def test_of_every_kind_only_a_foreign_end_is_unclean_and_it_has_words(kind):
    record = ExitRecord(int(kind))
    assert record.clean == (kind in (-1, 0, 64)) and record.stored == (kind not in (-1, 0))
    assert bool(record.words) == record.stored


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def survives(line):
    try:
        parse_event(line)
    except InfraError as error:
        assert str(error)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_an_infra_error(line):
    survives(line)


@given(JSON)
def test_any_json_is_an_event_or_an_infra_error(data):
    survives(json.dumps(data).encode())


@settings(max_examples=300)
@given(st.sampled_from([*ACCEPTED, REFUSED, HELLO, {"event": "done"}]), st.data())
def test_any_change_of_a_real_event_is_an_event_or_an_infra_error(line, data):
    made = copy.deepcopy(line)
    inner = made
    while True:
        name = data.draw(st.sampled_from(sorted(inner)))
        if not isinstance(inner[name], dict) or not inner[name] or data.draw(st.booleans()):
            break
        inner = inner[name]
    if data.draw(st.booleans()):
        del inner[name]
    else:
        inner[name] = data.draw(JSON)
    survives(json.dumps(made).encode())


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 1_000_000, b'{"event":' * 100_000, b'{"event":"done","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"event":"hello","cpus":' + b"9" * 5000 + b"}", b'{"event":"hello","cpus":1e999}', b"\xff\xfe", b"", b"nul\0",
        b'{"event":["done"]}', b'{"event":{}}',
    ],
)  # fmt: skip
def test_what_only_malice_would_send(line):
    with pytest.raises(InfraError):
        parse_event(line)

# SPDX-License-Identifier: Apache-2.0
"""Events of a real guest (kernel 7.3.4, short tier), and changed copies of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from policy_lake.events import Attached
from policy_lake.exit_record import ExitRecord
from verifier_vm.judge.stages import Reader
from verifier_vm.judge.suite import SHORT
from verifier_vm.machine.declared import parse_declared
from verifier_vm.machine.wire import parse_event

GOLDEN = Path(__file__).parent / "golden"
LIMIT_MS = 2000


def events(name):
    """The records of a golden guest, made by the wire's own parser."""
    return [parse_event(json.dumps(line).encode()) for line in json.loads((GOLDEN / f"{name}.json").read_text())]


def verdict(given, **options):
    return Reader(b"object", SHORT, LIMIT_MS, **options).read(given, kernel="7.3.4")


def labelled(given, label):
    return next(event for event in given if event.label == label)


def altered(record, path, value):
    """A copy of a record in which the field `a.b.c` is another."""
    name, _, rest = path.partition(".")
    if isinstance(record, Attached) and path == "log":  # the wire reads it
        record = replace(record, declared=parse_declared(value, where=record.label))
    return replace(record, **{name: altered(getattr(record, name), rest, value) if rest else value})


def changed(label, path, value, given=None):
    """Events (the accepted golden ones) with one field of the event called `label` replaced."""
    made = events("accepted") if given is None else given
    return [altered(event, path, value) if event.label == label else event for event in made]


def reported(label, change, given=None):
    """Events in which the workload `label` printed what `change` makes of its report."""
    made = events("accepted") if given is None else given
    report = json.loads(labelled(made, label).out)
    change(report)
    return changed(label, "out", json.dumps(report), made)


def told(label, changes, given=None):
    """Events in which the workload `label` printed other numbers: {"group.field" or "figure": number}."""

    def change(report):
        for key, value in changes.items():
            group, _, field = key.partition(".")
            if field:
                report["groups"][group][field] = value
            else:
                report["figures"][key] = value

    return reported(label, change, given)


def taken_off(**fields):
    """How a policy was taken off in order, save what is said to be otherwise."""
    return replace(labelled(events("accepted"), "detach"), **{"exit_record": ExitRecord(), "kmsg": (), **fields})

# SPDX-License-Identifier: Apache-2.0
"""Events of a real guest (kernel 7.3.4, short tier), and changed copies of them."""

from __future__ import annotations

import copy
import json
from pathlib import Path

from verifier_vm.judge.stages import Reader
from verifier_vm.judge.suite import SHORT

GOLDEN = Path(__file__).parent.parent / "golden"
LIMIT_MS = 2000


def events(name):
    return json.loads((GOLDEN / f"{name}.json").read_text())


def verdict(given, **options):
    return Reader(b"object", SHORT, LIMIT_MS, **options).read(given, kernel="7.3.4")


def labelled(given, label):
    return next(event for event in given if event["label"] == label)


def changed(label, path, value, name="accepted"):
    """Golden events with one field of the event called `label` replaced."""
    made = copy.deepcopy(events(name))
    at = labelled(made, label)
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return made


def told(label, changes, name="accepted"):
    """Golden events in which the workload `label` printed other numbers: {"group.field" or "figure": number}."""
    made = copy.deepcopy(events(name))
    event = labelled(made, label)
    report = json.loads(event["out"])
    for key, value in changes.items():
        group, _, field = key.partition(".")
        if field:
            report["groups"][group][field] = value
        else:
            report["figures"][key] = value
    event["out"] = json.dumps(report)
    return made

# SPDX-License-Identifier: Apache-2.0
"""Records as earlier versions wrote them, in this version's words. The journal's lines stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from policy_lake.model import from_json
from policy_lake.records import Run

Data = dict[str, Any]


def upgraded(kind: str, data: Data) -> Data:
    """The stored record of table `kind` with its fields named as they are now; one of this version stays as it is."""
    upgrade = _UPGRADES.get(kind)
    return data if upgrade is None else upgrade(data)


def _knob_values(data: Data) -> Data:
    """`settings` of a policy's knobs are called `knob_values`, since `Settings` are the program's."""
    return {"knob_values" if name == "settings" else name: value for name, value in data.items()}


def _rejection(data: Data) -> Data:
    return {**data, "candidate": _knob_values(data["candidate"])}


def _run(data: Data) -> Data:
    """A summary that this version cannot read is left out: the run itself counts."""
    summary = dict(data.get("summary") or {})
    if isinstance(summary.get("best"), dict):
        summary["best"] = _knob_values(summary["best"])
    if isinstance(summary.get("iterations"), list):
        summary["iterations"] = [_iteration(iteration) for iteration in summary["iterations"]]
    changed = {**data, "summary": summary}
    try:
        from_json(Run, changed)
    except ValueError:
        return {**data, "summary": {}}
    return changed


def _iteration(iteration: Any) -> Any:
    if not isinstance(iteration, dict) or not isinstance(iteration.get("candidates"), list):
        return iteration
    candidates = [_knob_values(each) if isinstance(each, dict) else each for each in iteration["candidates"]]
    return {**iteration, "candidates": candidates}


_UPGRADES: dict[str, Callable[[Data], Data]] = {
    "candidates": _knob_values,
    "scores": _knob_values,
    "rejections": _rejection,
    "runs": _run,
}

# SPDX-License-Identifier: Apache-2.0
"""Records as a report may show them: every text in them escaped for the surface that it is written for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from policy_lake.profile import WorkloadProfile
from policy_lake.show import lines_for_terminal
from tasks.run.certainty import Tried

Escape = Callable[[object], str]
Value = TypeVar("Value")

# Of several lines, and shown as such; and what no report shows.
LINES, UNSHOWN = ("evidence",), ("source",)


def shown(value: Value, escape: Escape) -> Value:
    """The value with every text in it escaped, names of fields and keys of tables included; the rest as it is."""
    return _shown(value, escape)  # type: ignore[no-any-return]


def _shown(value: Any, escape: Escape) -> Any:
    if isinstance(value, str):
        return escape(value)
    if is_dataclass(value) and not isinstance(value, type):
        made = {part.name: _field(part.name, getattr(value, part.name), escape) for part in fields(value) if part.init}
        return replace(value, **made)
    if isinstance(value, dict):
        return {_shown(name, escape): _shown(part, escape) for name, part in value.items()}
    return type(value)(_shown(part, escape) for part in value) if isinstance(value, tuple | list) else value


def _field(name: str, value: Any, escape: Escape) -> Any:
    if name in UNSHOWN:
        return ""
    return lines_for_terminal(value) if name in LINES and isinstance(value, str) else _shown(value, escape)


def report_parts(
    profile: WorkloadProfile, tried: Sequence[Tried], token: str | None, warning: str, escape: Escape
) -> tuple[WorkloadProfile, Sequence[Tried], str | None, str]:
    """All that a report is made of and that holds texts."""
    return shown(profile, escape), shown(list(tried), escape), escape(token) if token else None, escape(warning)

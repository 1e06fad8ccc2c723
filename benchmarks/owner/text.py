# SPDX-License-Identifier: Apache-2.0
"""A tool's text, read by the lines that it is known to print: any other between its first and its last is an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmarks.owner.metric import OwnerMetric, failures, shown
from policy_lake.errors import InputError
from policy_lake.limits import LONGEST_LINE, OWNER_TEXT_BYTES

Take = Callable[[re.Match[str]], Iterable[OwnerMetric]]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a tool's, and the metrics that it says, if any. `failed` groups count failed requests, which add up."""

    pattern: re.Pattern[str]
    take: Take | None = None
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Tool:
    """What a load generator prints from the line `first` to the line `last`; `needs` are metrics that it always has.

    What stands before the first line is somebody else's; so is what follows the last, unless it is a second output.
    """

    name: str
    first: re.Pattern[str]
    last: re.Pattern[str]
    lines: Sequence[Line]
    needs: Sequence[str]


def line(pattern: str, take: Take | None = None, *, failed: bool = False) -> Line:
    """A line by a pattern that it matches from end to end."""
    return Line(re.compile(pattern, re.ASCII), take, failed)


def lines_of(text: str, tool: str) -> list[str]:
    """The lines of a tool's output, of a limited size; of one written over and over, what it showed last."""
    if len(text) > OWNER_TEXT_BYTES:
        raise InputError(f"{tool}: more than {OWNER_TEXT_BYTES >> 20} MiB of output")
    lines = [whole.rstrip("\r").rpartition("\r")[2].rstrip() for whole in text.split("\n")]
    for number, each in enumerate(lines, 1):
        if len(each) > LONGEST_LINE:
            raise InputError(f"{tool}, line {number}: longer than {LONGEST_LINE} characters")
    return lines


def read_text(tool: Tool, text: str) -> tuple[OwnerMetric, ...]:
    """The tool's metrics; InputError that names the tool and the line for text that is none of it, or two of it."""
    found: list[OwnerMetric] = []
    failed: float | None = None
    begun = ended = 0
    for number, each in enumerate(lines_of(text, tool.name), 1):
        where = f"{tool.name}, line {number}"
        if tool.first.fullmatch(each):
            if begun:
                raise InputError(f"{where}: a second output, after that of line {begun}: give one of them")
            begun = number
        if not begun or ended or not each.strip():
            continue
        known = next(((form, match) for form in tool.lines if (match := form.pattern.fullmatch(each))), None)
        if known is None:
            raise InputError(f"{where}: '{shown(each)}' is nothing that a known version prints")
        form, match = known
        if form.take:
            found += form.take(match)
        if form.failed:
            failed = (failed or 0.0) + sum(int(count) for count in match.groups() if count)
        ended = number if tool.last.fullmatch(each) else 0
    if not ended:
        raise InputError(_cut_short(tool, begun, len(text.splitlines())))
    metrics = (*found, *([failures(failed, tool.name)] if failed is not None else []))
    return checked(tool.name, metrics, tool.needs)


def checked(tool: str, metrics: Sequence[OwnerMetric], needs: Iterable[str]) -> tuple[OwnerMetric, ...]:
    """The metrics, each there once and those that are needed among them; InputError naming the tool and the metric."""
    names = [metric.name for metric in metrics]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{tool}: '{name}' is there twice")
    for name in needs:
        if name not in names:
            raise InputError(f"{tool}: its output does not say '{name}'")
    return tuple(metrics)


def _cut_short(tool: Tool, begun: int, lines: int) -> str:
    if not begun:
        return f"{tool.name}: none of {lines} lines is the first of its output: another tool's, or another version's"
    return f"{tool.name}, line {lines}: its output begins in line {begun} and ends before its last: cut short"

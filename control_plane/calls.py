# SPDX-License-Identifier: Apache-2.0
"""`schedcp calls`: what was asked of a model, what it answered, what became of each part, and what it cost."""

from __future__ import annotations

from control_plane.lake import READING, _table
from control_plane.output import escape, escape_lines, out, print_json, working
from control_plane.results import CallsOutput
from policy_lake.calls import ModelCall, use_of
from policy_lake.errors import InputError
from tasks.host.lake import open_lake
from tasks.host.settings import load_settings


def calls_command(which: str, *, as_json: bool) -> None:
    """The calls of a run (its id, or how it begins), of all runs, or one call whole (its id)."""
    with working(READING):
        known = open_lake(load_settings()).calls()
    chosen = [call for call in known if not which or call.id == which] or [
        call for call in known if call.run_id.startswith(which)
    ]
    if which and not chosen:
        raise InputError(f"no call and no run with calls is called '{which}': `schedcp calls` lists them")
    if as_json:
        print_json("calls", CallsOutput(tuple(chosen), use_of(chosen)))
        return
    if not chosen:
        out().print("no calls yet: set SCHEDCP_MODEL and SCHEDCP_MODEL_URL, then `schedcp tune batch`")
        return
    if len(chosen) == 1 and chosen[0].id == which:
        _show(chosen[0])
    else:
        _list(chosen)
    out().print(escape(use_of(chosen).words), soft_wrap=True)


def _list(calls: list[ModelCall]) -> None:
    table = _table("call", "run", "round", "answer", "tokens", "s", "what became of it")
    for call in calls:
        fates = "; ".join(f"{fate.part}: {fate.fate}{f' ({fate.code})' if fate.code else ''}" for fate in call.fates)
        cells = (
            call.id, call.run_id or "-", f"{call.iteration}.{call.turn}", call.status,
            f"{call.tokens_in} + {call.tokens_out}{'' if call.counted else ' at most'}", f"{call.latency_s:.1f}",
            fates or call.reason or "-",
        )  # fmt: skip
        table.add_row(*map(escape, cells))
    out().print(table)


def _show(call: ModelCall) -> None:
    by = f", answered by {call.answered_by}" if call.answered_by else ""
    head = f"{call.id}: {call.model} at {call.url}{by}; {call.started}; prompt {call.prompt} {call.program}"
    out().print(escape(head.strip()), soft_wrap=True)
    for message in call.messages:
        out().print(f"[bold]{escape(message.role)}[/]")
        out().print(escape_lines(message.content), soft_wrap=True)
    out().print(f"[bold]answer[/] ({escape(call.status)})")
    out().print(escape_lines(call.answer), soft_wrap=True)
    for fate in call.fates:
        why = f": {fate.code}: {fate.reason}" if fate.code else ""
        out().print(escape(f"{fate.part}: {fate.fate} {fate.policy}{why}"), soft_wrap=True)

# SPDX-License-Identifier: Apache-2.0
"""Names from outside where people look: consoles, reports, Prefect's tables, one line of complaint."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from flow_cases import PROFILE, REJECTION, candidate, score
from hostile import NAMES, unseen
from markdown_it import MarkdownIt
from rich.cells import cell_len
from trace_cases import parent_and_child, trace

from benchmarks.replay_fidelity import CommandShare, Fidelity
from benchmarks.trace.file import replace_info
from control_plane import cli, fidelity, lake, output, record, shown_verdict, workloads
from control_plane import score as score_view
from control_plane.outputs import CheckedPart
from policy_lake.errors import InputError
from policy_lake.model import Finding, Stage, Verdict
from policy_lake.records import Entry
from tasks.run.certainty import Tried
from tasks.run.report import markdown_report, profile_page, table_rows, text_report

SECONDS = {"total": 1.0, "vm": 0.5, "overhead": 0.5}
ALL = pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
MARKUP = {"html_inline", "html_block", "link_open", "image", "em_open", "strong_open", "s_open", "fence", "code_inline"}


def tried(name):
    made = replace(candidate("ljf-1", job_comm=name), policy=name, reason=name, planner=name)
    scored = replace(score(made), policy=name, metric=name, unit=name, knob_values={"job_comm": name})
    rejected = replace(REJECTION, reason=name, evidence=f"{name}\n{name}", place=name)
    return [Tried(made, scored), Tried(replace(made, id="b"), rejection=rejected), Tried(made, failure=name)]


def hostile_profile(name):
    commands = (replace(PROFILE.commands[0], comm=name),) if PROFILE.commands else ()
    return replace(PROFILE, workload=name, goal=name, text=f"One '{name}' uses", commands=commands)


@ALL
def test_reports_show_names_and_do_nothing_else(name):
    text = text_report(hostile_profile(name), tried(name), token=name, seconds=SECONDS, warning=name)
    assert not unseen(text, lines=True)
    for page in (
        markdown_report(hostile_profile(name), tried(name), token=name, seconds=SECONDS, warning=name),
        profile_page(hostile_profile(name)),
    ):
        assert not unseen(page, lines=True)
        page.encode()
        tokens = MarkdownIt("gfm-like", {"linkify": False, "html": True}).parse(page)
        kinds = {token.type for block in tokens for token in (block, *(block.children or []))}
        assert not kinds & MARKUP
        headings = [token for token in tokens if token.type == "heading_open"]
        assert len(headings) == (2 if "Rejected" in page else 1)
        for table in page.split("\n\n"):
            rows = [line for line in table.splitlines() if line.startswith("|")]
            cells = MarkdownIt("gfm-like", {"linkify": False}).parse("\n".join(rows))
            columns = sum(token.type == "th_open" for token in cells)
            assert sum(token.type == "td_open" for token in cells) == columns * max(0, len(rows) - 2)


@ALL
def test_a_table_in_prefect_gets_texts_that_are_seen(name, monkeypatch):
    import prefect.artifacts

    from tasks.fleet.artifacts import publish_table

    sent = []

    async def keep(rows, **_):
        sent.extend(rows)

    monkeypatch.setattr(prefect.artifacts, "acreate_table_artifact", keep)
    asyncio.run(publish_table("key", table_rows(tried(name)), "rows"))
    assert len(sent) == 3 and not unseen("".join(str(cell) for row in sent for cell in row.values()))
    # Prefect 3.8 shows cells as Markdown, `javascript:` links included (tests/e2e/test_prefect_page.py).
    for cell in (cell for row in sent for cell in row.values() if isinstance(cell, str)):
        tokens = MarkdownIt("gfm-like", {"linkify": False, "html": True}).parse(cell)
        assert not {token.type for block in tokens for token in (block, *(block.children or []))} & MARKUP


def consoles(name, tmp_path):
    """Every view of the command line, shown with that name wherever it can come from outside."""
    info = replace(parent_and_child().info, command=name, names=(name,))
    path = tmp_path / "a.parquet"
    path.write_bytes(b"x")
    record.show(replace_info(parent_and_child(), info), path)
    shares = (CommandShare(name, 1.0, 1.0, 50.0, 50.0),)
    fidelity._show(Fidelity(name, 2, 1.0, 1.0, 1.0, 1.0, shares, {"p50": (1.0, 1.0)}, (1, 1), 0.5))
    findings = tuple(Finding(name, level, name, name, name) for level in ("reject", "unknown", "note"))
    stages = (Stage(name, False, 0.1, findings, f"{name}\n{name}"),)
    verdict = Verdict(False, None, stages, name, "", name)
    for accepted in (False, True):
        done = SimpleNamespace(tier=name, verdict=replace(verdict, accepted=accepted), warning=name, machine=name)
        shown_verdict.show_verdict(Path(f"{name.replace('/', '_')}.bpf.c".replace("\0", "")), done)
    score_view._show(tried(name)[0].score, name)
    score_view._rejected(score_view.Rejected(replace(REJECTION, reason=name), tried(name)[0].score), as_json=False)
    workloads._show(name, {name: name})
    from control_plane import doctor

    doctor.show([CheckedPart(name[:8], False, name, name)], as_json=False)
    with output.working(name) as say:
        say(name)


@ALL
def test_no_view_of_the_command_line_obeys_a_name(name, tmp_path, capsys):
    consoles(name, tmp_path)
    said = capsys.readouterr()
    assert not unseen(said.out + said.err, lines=True)


@ALL
def test_the_lake_shows_what_it_holds(name, monkeypatch, capsys):
    entry = Entry("lessons", name, {"text": name, name: name, "more": {"a": name}})
    monkeypatch.setattr(lake, "_lake", lambda _: SimpleNamespace(get=lambda _: [entry], runs=lambda: [run]))
    run = SimpleNamespace(id=name, workload=name, status="done", started=name, best=name)
    lake.show_command("x", as_json=False)
    lake.runs_command(as_json=False)
    said = capsys.readouterr().out
    assert not unseen(said, lines=True)


@ALL
def test_a_complaint_is_one_line(name, monkeypatch, capsys):
    def fails(**_):
        raise InputError(f"{name}: is wrong")

    monkeypatch.setattr(cli, "app", fails)
    monkeypatch.setattr(sys, "argv", ["schedcp", "--json"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert len(said.err.splitlines()) == 1 and not unseen(said.err, lines=True)
    assert name.split()[0] in json.loads(said.out)["error"], "JSON is plain: it escapes by itself"


@ALL
def test_a_forgotten_name_moves_no_terminal_either(name):
    console = output.out()
    console.file = io.StringIO()
    console.print(name.replace("[", "("), soft_wrap=True)
    assert not unseen(console.file.getvalue(), lines=True)


def test_names_of_tasks_stand_in_columns_however_wide_they_look(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    names = ("[bold]x[/]", "\u4f60\u597d", "a\x1bb", "", " ", "top\\", "x" * 30)
    made = trace([(0, "name", 1, 0, 0), *((0, "name", 900, 0, n) for n in range(1, 7)), (0, "exit", 800, 0, 0)],
                 names=names, command="", wall_us=9_000)  # fmt: skip
    path = tmp_path / "a.parquet"
    path.write_bytes(b"x")
    record.show(made, path)
    shares = tuple(CommandShare(name, 1.0, 1.0, 9.0, 9.0) for name in names)
    fidelity._show(Fidelity("", 2, 1.0, 1.0, 1.0, 1.0, shares[3:4] + shares, {"p50": (1.0, 1.0)}, (1, 1), 0.0))
    recorded, compared = capsys.readouterr().out.split("(no name) on 2 CPUs, under EEVDF\n")
    assert "\n(no name): 9 ms on 2 CPUs" in recorded and "apart, of (no name) (wanted" in compared
    rows = [line for line in (recorded + compared).splitlines() if line.startswith("  ") and "p50" not in line]
    assert len(rows) == 7 + 8, "each on one line"
    shown = {row[2:].partition("  ")[0] for row in rows}
    assert shown == {
        "[bold]x[/]",
        "\u4f60\u597d",
        r"a\x1bb",
        "(no name)",
        "' '",
        "top\\",
        "x" * 30,
    }
    ends = {cell_len(row[: row.index(" ms")]) for row in rows if "xxx" not in row}
    assert ends == {2 + 16 + 1 + 10}


def test_an_output_in_ascii_takes_every_text():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    before, sys.stdout = sys.stdout, stream
    try:
        output.take_any_text()
        stream.write("Zürich 计算 \udc80 …")
        stream.flush()
    finally:
        sys.stdout = before
    assert raw.getvalue() == b"Z\\xfcrich \\u8ba1\\u7b97 \\udc80 \\u2026"

# SPDX-License-Identifier: Apache-2.0
"""Text from outside on each surface: what is shown is what was there, and it does nothing."""

from __future__ import annotations

import ast
import logging
from pathlib import Path

import pytest
from hostile import NAMES, unseen
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from policy_lake.limits import LOG_CHARACTERS
from policy_lake.show import (
    code_for_markdown,
    for_markdown,
    for_prompt,
    for_terminal,
    lines_for_terminal,
    logger,
)

ROOT = Path(__file__).parents[2]
PACKAGES = ("benchmarks", "bpf", "control_plane", "flows", "policy_lake", "tasks", "verifier_vm")
INERT = {"document", "paragraph_open", "paragraph_close", "inline", "text", "softbreak", "text_special"}


def tokens(markdown: str) -> list[tuple[str, str]]:
    """(kind, content) of all that a parser with GitHub's extensions and links finds in it."""
    parser = MarkdownIt("gfm-like", {"linkify": False, "html": True})
    flat = []
    for token in parser.parse(markdown):
        flat += [token, *(token.children or [])]
    return [(token.type, token.content) for token in flat]


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_on_a_terminal_every_character_is_seen_in_one_line(name):
    shown = for_terminal(name)
    assert not unseen(shown) and len(shown.splitlines()) == 1
    assert for_terminal(shown) == shown
    shown.encode()


def test_a_terminal_shows_what_it_would_have_obeyed():
    assert for_terminal("\x1b[31mred\nx\u202e") == "\\x1b[31mred\\nx\\u202e"
    assert for_terminal("Zürich 计算 naïve") == "Zürich 计算 naïve"
    assert lines_for_terminal("a\tb\r\nc\x1b") == "a       b\nc\\x1b"


@given(st.text())
def test_no_text_moves_a_terminal(text):
    assert not unseen(for_terminal(text)) and not unseen(lines_for_terminal(text), lines=True)
    for_terminal(text).encode()


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_in_markdown_a_name_is_text_and_reads_as_it_is(name):
    found = tokens(for_markdown(name))
    assert {kind for kind, _ in found} <= INERT
    text = "".join(content for kind, content in found if kind.startswith("text"))
    assert text == " ".join(for_terminal(name).split())


@given(st.text(alphabet=st.sampled_from("ab1 \\`*_[](){}<>&|~#+-.!:/@w\n\t\x1b"), max_size=40))
def test_no_text_becomes_markup(text):
    assert {kind for kind, _ in tokens(f"x {for_markdown(text)}")} <= INERT
    cells = [content for kind, content in tokens(f"| a | b |\n|---|---|\n| {for_markdown(text)} | end |\n")
             if kind == "inline"]  # fmt: skip
    assert len(cells) == 4 and cells[-1] == "end"


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_lines_of_code_end_no_block(name):
    kinds = {kind for kind, _ in tokens(f"text\n\n{code_for_markdown(name)}\n")}
    assert kinds <= INERT | {"code_block"}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_in_a_prompt_a_name_is_one_short_line_without_the_questions_marks(name):
    shown = for_prompt(name * 1000)
    assert len(shown.splitlines()) == 1 and not unseen(shown)
    assert "[[ ##" not in shown and "## ]]" not in shown
    assert len(for_prompt("a" * 10**6)) == 800


def test_log_lines_are_shown_from_whichever_handler(caplog):
    log = logger("tasks.shown")
    assert logger("tasks.shown") is log and len(log.filters) == 1
    with caplog.at_level(logging.INFO):
        log.info("execute: %s: %s", NAMES["escape"], NAMES["newline"])
        log.info("%s", "a" * 10**6)
    first, second = (record.getMessage() for record in caplog.records)
    assert first == "execute: \\x1b[31mred\\x1b[0m: one two"
    assert len(second) == LOG_CHARACTERS


def test_nobody_logs_otherwise():
    """Every logger of ours is one that shows: a new module that takes logging's own fails here."""
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "logging.getLogger":
                assert path.name in {"show.py", "tune.py", "resident.py", "progress.py", "worker.py"}, (
                    f"{path}: {ast.unparse(node)}"
                )

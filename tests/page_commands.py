# SPDX-License-Identifier: Apache-2.0
"""The commands and files that a page of docs/ shows, as they stand there, for who runs them."""

from __future__ import annotations

import re
from pathlib import Path

ROLLOUT = Path(__file__).parents[1] / "docs/rollout.md"
_FENCE = re.compile(r"^```([a-z]+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def fenced(kind: str, page: Path = ROLLOUT) -> str:
    """The one fenced block of that kind on a page; AssertionError where there is none, or another."""
    found = [text for what, text in _FENCE.findall(page.read_text(encoding="utf-8")) if what == kind]
    assert len(found) == 1, f"{page}: {len(found)} blocks of {kind}"
    return found[0]


def for_one_host(script: str) -> str:
    """The same lines for a fleet of one host of one CPU. Nothing else is changed."""
    one, hosts = re.subn(r"--hosts [0-9]+", "--hosts 1 --cpus 1", script)
    one, named = re.subn(r" --host fleet-(?!1\b)[0-9]+", "", one)
    assert (hosts, named) == (1, 2), script
    return one


def as_canary(script: str, plan: str) -> tuple[str, str]:
    """The same as far as a canary goes, which the short tier is enough for: without the plan's steps on more hosts."""
    short, tiers = re.subn(r"--tier full", "--tier short", script)
    steps, rest = re.subn(r'(?s)\[\[steps\]\]\nname = "all".*?(?=\[\[)', "", plan), re.compile(r"pause = true")
    assert (tiers, steps[1]) == (1, 1), plan
    return short, rest.sub("pause = false", steps[0])

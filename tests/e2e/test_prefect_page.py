# SPDX-License-Identifier: Apache-2.0
"""Hostile names on Prefect's pages, in a real browser: they are read as they are, and do nothing."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from browser import BROWSERS, installed
from flow_cases import PROFILE, candidate
from hostile import NAMES

from policy_lake.show import for_markdown, for_terminal
from tasks.fleet import prefect_server
from tasks.fleet.artifacts import publish_markdown, publish_table
from tasks.run.certainty import Tried
from tasks.run.report import profile_page, table_rows


class Page(HTMLParser):
    """The texts of a page's body, its links out, and what it would load or run."""

    def __init__(self, dom: str) -> None:
        super().__init__()
        self.text, self.links, self.loaded = "", list[str](), list[str]()
        self.feed(dom.partition("<body")[2])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("img", "script", "iframe", "object"):
            self.loaded.append(f"{tag} {given}")
        if tag == "a" and not str(given.get("href")).startswith("/"):
            self.links.append(str(given.get("href")))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def browser() -> str:
    found = installed()
    if found is None:
        # Never a failure: CI has no browser, which a run has no use for.
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed: apt-get install chromium")
    return found


@pytest.fixture(scope="module")
def ui_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prefect server with its pages."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(tmp_path_factory.mktemp("prefect-ui")))
        patch.delenv("PREFECT_API_URL", raising=False)
        patch.setattr(prefect_server, "START_S", 300.0)  # it unpacks its pages first
        patch.setattr(prefect_server, "SERVER", {"PREFECT_UI_ENABLED": "1", "PREFECT_UI_API_URL": "/api"})
        with prefect_server.serving() as server:
            from prefect.settings import PREFECT_API_URL, temporary_settings

            assert server is not None
            server.ready()
            with temporary_settings({PREFECT_API_URL: server.url}):
                yield server.url.removesuffix("/api")


def shown(browser: str, url: str, home: Path) -> Page:
    """The page as the browser has it once its scripts have run."""
    words = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--virtual-time-budget=60000",
        "--dump-dom",
    )
    done = subprocess.run(
        [browser, *words, "--dump-dom", f"--user-data-dir={home}", url], capture_output=True, text=True, timeout=200,
        check=False, env={**os.environ, "HOME": str(home)},
    )  # fmt: skip
    return Page(done.stdout)


async def publish() -> dict[str, str]:
    """A page and a table with every hostile name; the artifacts' ids by key."""
    from dataclasses import replace

    from prefect.client.orchestration import get_client

    made = [replace(candidate(f"ljf-{number}"), reason=name, policy=name) for number, name in enumerate(NAMES.values())]
    await publish_table("names-table", table_rows([Tried(one, failure=one.reason) for one in made]), "rows")
    commands = tuple(replace(PROFILE.commands[0], comm=name) for name in NAMES.values())
    page = profile_page(replace(PROFILE, commands=commands, goal=NAMES["html"], text=NAMES["link"]))
    await publish_markdown("names-page", page + "\n\n".join(map(for_markdown, NAMES.values())), "page")
    async with get_client() as client:
        return {str(artifact.key): str(artifact.id) for artifact in await client.read_artifacts()}


@pytest.mark.filterwarnings("ignore:Artifact creation outside")
@pytest.mark.timeout(600)
def test_hostile_names_are_text_on_prefects_pages(browser: str, ui_url: str, tmp_path: Path) -> None:
    ids = asyncio.run(publish())
    assert set(ids) == {"names-table", "names-page"}
    for key, id in ids.items():
        page = shown(browser, f"{ui_url}/artifacts/artifact/{id}", tmp_path)
        assert page.loaded == [] and page.links == [], key
        said = " ".join(page.text.split())
        for name in NAMES.values():
            assert " ".join(for_terminal(name).split()) in said, f"{key}: {name!r}"

# SPDX-License-Identifier: Apache-2.0
"""The report's pages in a real browser: by keyboard, on a narrow screen, dark and light, without a network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import BROWSERS, Tab, browsing, installed
from hostile import NAMES
from report_cases import fill, fill_hostile

from control_plane.pages.site import write_report
from policy_lake.embed import embedder
from policy_lake.lake import Lake
from policy_lake.show import for_terminal
from tasks.fleet.report_link import slug
from tasks.host.settings import load_settings

pytestmark = pytest.mark.timeout(900)
PAGES = ("index.html", "runs/index.html", "nights/index.html", "policies/index.html", "workloads/index.html",
         "rollouts/index.html", "hosts/index.html", f"runs/{slug('night-2')}.html", f"policies/{slug('ljf')}.html",
         f"workloads/{slug('batch')}.html", f"rollouts/{slug('rollout-1')}.html")  # fmt: skip
LEAST = 4.5  # contrast of text, WCAG 2.2 AA
# Of every text that is seen: its colour and what is behind it.
COLOURS = """[...document.querySelectorAll('body *')].filter(e => [...e.childNodes].some(
  n => n.nodeType == 3 && n.data.trim()) && e.getClientRects().length && !(e instanceof SVGElement)).map(e => {
    let b = e; while (b && getComputedStyle(b).backgroundColor == 'rgba(0, 0, 0, 0)') b = b.parentElement;
    return [getComputedStyle(e).color, getComputedStyle(b || document.body).backgroundColor, e.tagName,
      e.innerText] })"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("report")
    settings = load_settings(data_dir=place / "data", embedder="hash")
    lake = Lake(settings.lake_dir, embedder=embedder("hash"))
    fill(lake, settings)
    write_report(lake, settings, place / "plain", most_runs=100)
    fill_hostile(lake, settings)
    write_report(lake, settings, place / "pages", most_runs=100)
    return place / "pages"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    program = installed()
    if program is None:
        # Never a failure: CI has no browser, which a run has no use for.
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed: apt-get install chromium")
    with browsing(program, tmp_path_factory.mktemp("browser")) as opened:
        yield opened


def test_nothing_is_asked_of_a_network_and_nothing_is_complained_of(report: Path, tab: Tab) -> None:
    tab.look()
    tab.asked.clear()
    for path in sorted(report.rglob("*.html")):
        tab.go(path.as_uri())
    assert len(tab.asked) > 100 and tab.said == []
    assert [url for url in tab.asked if not url.startswith(report.as_uri())] == []


@pytest.mark.parametrize("width", [320, 1200])
def test_no_page_is_wider_than_its_screen(report: Path, tab: Tab, width: int) -> None:
    tab.look(width=width)
    for path in sorted(report.rglob("*.html")):
        tab.go(path.as_uri())
        assert tab.value("document.documentElement.scrollWidth") <= width, path.name


def test_the_keyboard_comes_everywhere(report: Path, tab: Tab) -> None:
    """From the first page by Tab and Enter alone to a run; what has the focus is seen to have it."""
    tab.look()
    tab.go((report.with_name("plain") / "index.html").as_uri())
    tab.press("Tab")
    assert tab.value("document.activeElement.className") == "skip"
    assert tab.value("document.activeElement.getBoundingClientRect().left") >= 0, "it is seen while it has the focus"
    seen = []
    for _ in range(60):
        tab.press("Tab")
        seen.append(tab.value("document.activeElement.innerText") or "")
        assert tab.value("getComputedStyle(document.activeElement).outlineStyle") != "none", seen[-1]
        if seen[-1] == "night-2":
            break
    assert seen[:7] == ["overview", "runs", "nights", "policies", "workloads", "rollouts", "hosts"]
    assert seen[-1] == "night-2"
    tab.press("Enter", loads=True)
    assert tab.value("document.querySelector('h1').innerText") == "Run night-2"
    regions = "[...document.querySelectorAll('.wide')]"
    assert tab.value(f"{regions}.length") > 0, "tables that are wider than the screen are scrolled by the arrow keys"
    assert tab.value(f"{regions}.every(e => e.tabIndex == 0 && e.getAttribute('aria-label'))")


def luminance(colour: str) -> float:
    parts = [int(float(part)) / 255 for part in re.findall(r"[\d.]+", colour)[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_texts_can_be_read_in_both_schemes(report: Path, tab: Tab, dark: bool) -> None:
    assert contrast("rgb(0, 0, 0)", "rgb(255, 255, 255)") == 21
    tab.look(dark=dark)
    for page in PAGES:
        tab.go((report / page).as_uri())
        for colour, behind, tag, text in tab.value(COLOURS):
            assert contrast(colour, behind) >= LEAST, (page, tag, text[:40], colour, behind)
    assert (luminance(tab.value("getComputedStyle(document.body).backgroundColor")) < 0.1) is dark


def test_names_from_outside_are_read_as_they_are(report: Path, tab: Tab) -> None:
    tab.look()
    tab.said.clear()
    said = ""
    for path in sorted((report / "policies").glob("*.html")):
        tab.go(path.as_uri())
        said += " ".join(tab.value("document.body.textContent").split())
    for name, text in NAMES.items():
        if name != "surrogate":  # the lake refuses it
            assert " ".join(for_terminal(text).split()) in said, name
    assert tab.said == [], "no dialog, no complaint"


def test_every_page_has_a_title_a_heading_and_a_language(report: Path, tab: Tab) -> None:
    titles = []
    for page in PAGES:
        tab.go((report / page).as_uri())
        titles.append(tab.value("document.title"))
        assert tab.value("document.querySelectorAll('h1').length") == 1, page
        assert tab.value("document.documentElement.lang") == "en"
        unnamed = "[...document.querySelectorAll('img, svg[role=img]')].filter(e => !(e.alt || e.ariaLabel)).length"
        assert tab.value(unnamed) == 0, page
    assert len(set(titles)) == len(titles) and all(title.endswith(" - schedcp") for title in titles)

# SPDX-License-Identifier: Apache-2.0
"""`schedcp report --html`: what the pages say, that nothing in them leads out or nowhere, and where they may be put."""

from __future__ import annotations

import errno
import json
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from contract_cases import contract
from flow_cases import candidate, score
from hostile import NAMES, unseen
from report_cases import fill, fill_hostile, texts_of, tuned

from control_plane.pages import place, rows, run_pages
from control_plane.pages.charts import bars, figure, scatter
from control_plane.pages.site import Written, write_report
from control_plane.report import report_command
from policy_lake.embed import embedder
from policy_lake.errors import InfraError, InputError
from policy_lake.lake import Lake
from policy_lake.records import Run
from policy_lake.scores import Ratio
from tasks.fleet.report_link import report_link, slug
from tasks.host.settings import Settings, load_settings


class Markup(HTMLParser):
    """The elements of a page, its ids, and where its links and sources lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.leads: list[str] = []
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.names |= {name for name, _ in attrs}
        self.leads += [value or "" for name, value in attrs if name in ("href", "src", "action", "srcset", "data")]


@pytest.fixture
def at(tmp_path, monkeypatch) -> Settings:
    monkeypatch.setenv("SCHEDCP_DATA_DIR", str(tmp_path / "data"))
    return load_settings(embedder="hash")


@pytest.fixture
def lake(at) -> Lake:
    return Lake(at.lake_dir, embedder=embedder("hash"))


def written(lake: Lake, at: Settings, tmp_path: Path, *, most_runs: int = 1000) -> tuple[dict[str, str], Written]:
    done = write_report(lake, at, tmp_path / "report", most_runs=most_runs)
    return texts_of(tmp_path / "report"), done


def test_the_pages_have_what_the_lake_holds(lake, at, tmp_path):
    fill(lake, at)
    pages, done = written(lake, at, tmp_path)
    assert (done.runs, done.unpaged, done.rollouts, done.pages) == (4, 0, 1, len(pages))
    run = pages[f"runs/{slug('night-2')}.html"]
    assert "1.12x [1.10, 1.14] win" in run and "rejected at survive: runnable task stall" in run
    assert "Where the best came from" in run and "1.32x [1.30, 1.34]" in run, "its parent is of another run"
    nights = pages["nights/index.html"]
    worse = nights[nights.index("2026-11-27") : nights.index("2026-11-26</h2>")]
    assert 'class="worse">worse' in worse and "1.32x [1.30, 1.34] ljf, 2026-11-26" in worse and "failed" in worse
    policy = pages[f"policies/{slug('ljf')}.html"]
    assert "50 % (1 of 2) of lines" in policy and "F18: it stalls" in policy and slug("rollout-1") in policy
    assert '<tr class="ran"><td class="mark">+</td><td class="number">2</td>' in policy
    assert '<tr class="missed"><td class="mark">!</td><td class="number">3</td>' in policy
    assert "to line 3 (column 5, in ljf_enqueue)" in policy
    made = pages[f"policies/{slug('ljf-made')}.html"]
    assert f'<a href="../policies/{slug("ljf")}.html">ljf</a>, which was made from gone' in made and "1 200" in made
    workload = pages[f"workloads/{slug('batch')}.html"]
    assert "makespan_s against p99_us" in workload and workload.count('<circle class="front"') == 2
    rolled = pages[f"rollouts/{slug('rollout-1')}.html"]
    assert "1.50 [1.20, 1.90]" in rolled and "too few windows" in rolled and '<circle class="baseline"' in rolled
    assert (
        "2 entries to" in pages["hosts/index.html"] and "rolled back at step one by web-1" in pages["hosts/index.html"]
    )


def test_every_link_leads_to_a_page_of_the_report_and_none_out(lake, at, tmp_path):
    fill(lake, at)
    fill_hostile(lake, at)
    pages, _ = written(lake, at, tmp_path)
    for name, text in pages.items():
        found = Markup(text)
        assert not {"script", "iframe", "object", "form", "base"} & set(found.tags), name
        assert not any(attribute.startswith("on") for attribute in found.names), name
        for lead in found.leads:
            file, _, anchor = lead.partition("#")
            assert not re.match(r"[a-z]+:|//|/", file), (name, lead)
            target = (tmp_path / "report" / name).parent / unquote(file) if file else tmp_path / "report" / name
            assert target.resolve().is_file() and target.resolve().is_relative_to(tmp_path / "report"), (name, lead)
            assert not anchor or f'id="{anchor}"' in text, (name, lead)


def test_names_from_outside_are_text(lake, at, tmp_path):
    fill_hostile(lake, at)
    pages, _ = written(lake, at, tmp_path)
    plain = {tag for text in pages.values() for tag in Markup(text).tags}
    assert not plain & {"img", "script", "b>"} and len(pages) > 4 * len(NAMES) - 8
    for name, text in pages.items():
        assert not unseen(text, lines=True), name
        assert "<script" not in text and "<img" not in text
    assert any("&lt;script&gt;alert(2)" in text for text in pages.values())


def test_two_names_never_share_a_file_and_no_name_leads_out():
    names = [*NAMES.values(), "", "a", "A", "a ", "..", "../x", "/etc/passwd", "a/b", "a-b", "x" * 500, "CON", "\0"]
    made = [slug(name) for name in names]
    assert len(set(made)) == len(names) and all(re.fullmatch(r"[a-z0-9-]{1,80}", one) for one in made)


def test_an_empty_lake_has_pages_too(lake, at, tmp_path):
    pages, done = written(lake, at, tmp_path)
    assert (done.runs, done.rollouts) == (0, 0) and "No runs yet" in pages["index.html"]
    assert done.policies > 10, "the library's are known without a run"


def test_a_long_list_has_pages_and_the_latest_runs_have_their_own(lake, at, tmp_path, monkeypatch):
    monkeypatch.setattr(run_pages, "A_PAGE", 4)
    monkeypatch.setattr(run_pages, "AT_ONCE", 2)
    lake.put(*(tuned(f"r{number}", f"2026-11-{number + 1:02}", 1.2) for number in range(9)))
    pages, done = written(lake, at, tmp_path, most_runs=5)
    assert (done.runs, done.unpaged) == (9, 4)
    lists = [pages["runs/index.html"], pages["runs/page-2.html"], pages["runs/page-3.html"]]
    assert [text.count('scope="row"') for text in lists] == [4, 4, 1]
    assert lists[0].index(">r8<") < lists[0].index(">r5<") and "page 1 of 3" in lists[0]
    own = {f"runs/{slug(f'r{number}')}.html" for number in range(4, 9)}
    assert own == {name for name in pages if name.startswith("runs/r")}
    assert f"{slug('r4')}.html" in lists[1] and slug("r3") not in lists[1] and "Of the earlier ones" in lists[1]


def test_few_records_are_in_memory_at_once(lake, at, tmp_path, monkeypatch):
    """However many runs there are: what is asked for is asked for by the batch."""
    monkeypatch.setattr(run_pages, "AT_ONCE", 3)
    fill(lake, at)
    lake.put(*(tuned(f"r{number}", "2026-11-28", 1.2) for number in range(7)))
    most = []
    having = Lake.having
    monkeypatch.setattr(Lake, "having", lambda *asked: most.append(len(asked[3])) or having(*asked))
    for name in ("runs", "scores", "candidates", "rejections", "policies", "rollouts", "lessons"):
        monkeypatch.setattr(Lake, name, lambda *_, **__: pytest.fail("a whole table"))
    _, done = written(lake, at, tmp_path)
    assert done.runs == 11 and max(most) <= 500


def test_pictures_of_a_run_are_copied_and_what_is_none_is_not(lake, at, tmp_path):
    fill(lake, at)
    directory = at.run_dir / "night-1"
    directory.mkdir(parents=True)
    (directory / "scores.png").write_bytes(run_pages.PNG + b"x")
    (directory / "waits.png").write_bytes(b"<script>")
    (directory / "timeline.png").symlink_to("/dev/zero")
    pages, _ = written(lake, at, tmp_path)
    page = pages[f"runs/{slug('night-1')}.html"]
    assert re.findall(r'<img src="([^"]+)"', page) == [f"{slug('night-1')}/scores.png"]
    assert [path.name for path in (tmp_path / "report").rglob("*.png")] == ["scores.png"]


def test_a_report_takes_the_place_of_one_of_ours_whole(lake, at, tmp_path, monkeypatch):
    fill(lake, at)
    written(lake, at, tmp_path)
    before = texts_of(tmp_path / "report")
    (tmp_path / "report/stale.html").write_text("old")
    monkeypatch.setattr(run_pages, "tell", lambda *_: pytest.fail("in the middle"))
    with pytest.raises(BaseException, match="in the middle"):
        written(lake, at, tmp_path)
    assert texts_of(tmp_path / "report") == {**before, "stale.html": "old"}, "as it was"
    monkeypatch.undo()
    monkeypatch.setenv("SCHEDCP_DATA_DIR", str(tmp_path / "data"))
    pages, _ = written(lake, at, tmp_path)
    assert "stale.html" not in pages
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_where_two_directories_cannot_be_exchanged_the_old_one_goes_first(lake, at, tmp_path, monkeypatch):
    written(lake, at, tmp_path)
    (tmp_path / "report/stale.html").write_text("old")
    monkeypatch.setattr(place.ctypes, "get_errno", lambda: place.errno.EINVAL)
    monkeypatch.setattr(place, "_EXCHANGE", 0xFFFF)
    pages, _ = written(lake, at, tmp_path)
    assert "index.html" in pages and "stale.html" not in pages
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


@pytest.mark.parametrize("what", ["file", "others", "link", "forged"])
def test_what_is_not_ours_is_never_replaced(what, lake, at, tmp_path):
    target = tmp_path / "mine"
    if what == "file":
        target.write_text("x")
    elif what == "link":
        (tmp_path / "there").mkdir()
        target.symlink_to(tmp_path / "there")
    else:
        target.mkdir()
        (target / "letter.txt").write_text("x")
        if what == "forged":
            (target / place.MARK).write_text('{"format": "another/1"}')
    with pytest.raises(InputError, match=r"--html .*mine: "):
        report_command(target, 10, as_json=False)
    assert target.exists() and (what in ("file", "link") or (target / "letter.txt").read_text() == "x")
    assert not at.lake_dir.exists(), "refused before any work"


def test_an_empty_directory_is_taken_and_left_parts_of_dead_processes_go(lake, at, tmp_path):
    (tmp_path / "report").mkdir()
    dead, alive = tmp_path / ".report.999999999-0123abcd.part", tmp_path / f".report.{os.getpid()}-0123abcd.part"
    dead.mkdir()
    alive.mkdir()
    written(lake, at, tmp_path)
    assert not dead.exists() and alive.exists()


def full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_place_that_cannot_be_written_is_one_line(lake, at, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"--html .*/file/a/report: .*/file is no directory"):
        report_command(tmp_path / "file/a/report", 1, as_json=False)
    assert not at.lake_dir.exists()
    monkeypatch.setattr(Path, "write_bytes", lambda *_: full())
    with pytest.raises(InfraError, match="No space left"):
        write_report(lake, at, tmp_path / "a/report", most_runs=1)
    assert list((tmp_path / "a").iterdir()) == []


def test_the_command_says_where_the_pages_begin(lake, at, tmp_path, capsys):
    fill(lake, at)
    report_command(tmp_path / "out", 3, as_json=True)
    told = contract(capsys.readouterr().out)
    assert (told["runs"], told["unpaged"], told["html"]) == (4, 1, str(tmp_path / "out/index.html"))
    report_command(tmp_path / "out", 3, as_json=False)
    assert f"report: {tmp_path}/out/index.html" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / place.MARK).read_text())["format"] == place.FORMAT


def test_a_run_whose_process_has_ended_was_killed(lake, at, tmp_path):
    lake.put(Run("gone-1", "batch", "running", "2026-11-28T01:00:00+00:00"))
    (at.run_dir / "gone-1").mkdir(parents=True)
    (at.run_dir / "gone-1/alive").touch()
    pages, _ = written(lake, at, tmp_path)
    assert 'class="killed">killed' in pages["runs/index.html"]
    assert lake.runs()[0].status == "running", "a report only reads"


def test_a_drawing_keeps_its_front_however_many_scores_there_are(monkeypatch):
    monkeypatch.setattr(rows, "MOST_POINTS", 5)
    group = rows.Group("batch", "2 CPUs", "makespan_s")
    of = [score(candidate(f"ljf-{n}"), 1.0 + n / 100, ratios={"p99": Ratio(1.0, (1, 1))}) for n in range(40)]
    group.add(score(candidate("rr-1"), 1.1, ratios={"p99": Ratio(2.0, (2, 2))}))
    for one in of:
        group.add(one)
    group.add(replace(score(candidate("over-1"), 9.0, ratios={"p99": Ratio(9.0, (9, 9))}), over={"p99": 2.0}))
    assert group.scores == 42 and len(group.points) == 6 and group.guards == ["p99"]
    assert {point.policy for point in group.front} == {"rr", "ljf"}
    assert max(point.ratios["makespan_s"] for point in group.front) == pytest.approx(1.39)


def test_prefects_artifacts_lead_to_a_page_where_a_setting_says_where_that_is(at, monkeypatch):
    assert report_link(at, "runs", "batch-1") == ""
    for given in ("https://tuning.example/schedcp/", "http://127.0.0.1:8000", "file:///srv/schedcp"):
        led = report_link(load_settings(report_url=given), "runs", "night-1")
        assert led == f"\n[Its page among all others]({given.rstrip('/')}/runs/{slug('night-1')}.html)\n"
    for wrong in ("javascript:alert(1)", "tuning.example", "https://x/) [y](z", "https://x/ y", "file:etc"):
        monkeypatch.setenv("SCHEDCP_REPORT_URL", wrong)
        with pytest.raises(InputError, match=r"SCHEDCP_REPORT_URL=.*: no address such as"):
            load_settings()


def test_marks_lie_within_their_axes():
    (one, two) = bars([(0.5, 1.0, 1.5, None), (1e300, 1e300, 1e300, 2.0)])
    for bar in (one, two):
        assert all(0 <= at <= 100 for at in (bar.low, bar.middle, bar.high, bar.one))
    drawn = scatter([(0.0, 1e300, "other", "a"), (0.0, -1e300, "other", "b"), (0.0, 1.0, "front", "c")], "x", "y")
    assert drawn is not None and all(0 <= dot.x <= 320 and 0 <= dot.y <= 220 for dot in drawn.dots)
    assert scatter([], "x", "y") is None
    windows = scatter([(float(n), 80_000.0 * n, "policy", "") for n in range(1, 13)], "windows", "p99_us")
    assert windows is not None and windows.one_x is None, "no ratio is there"
    assert [tick.text for tick in windows.x_ticks] == ["1", "6", "12"]
    assert all(len(tick.text) <= 6 for tick in windows.y_ticks) and windows.y_ticks[2].text.endswith("k")
    assert [figure(value) for value in (1.318, 8123.0, 221_400.0, 1.5e6, -2e9)] == [
        "1.32",
        "8123",
        "221k",
        "1.5M",
        "-2G",
    ]

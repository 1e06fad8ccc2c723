# SPDX-License-Identifier: Apache-2.0
"""Files of pictures: each whole, in both forms, with Perfetto's only on request."""

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hostile import NAMES, unseen

from benchmarks import plots
from benchmarks.plots import draw_scores, draw_states, draw_timelines, draw_waits
from benchmarks.timeline import Span, Timeline, Wait, read_timeline
from policy_lake.errors import InfraError
from policy_lake.machine_model import CAUSES, Paid
from policy_lake.scores import Pair, Ratio, Score
from tasks.trial.pictures import MOST_BYTES, Pictures, draw

OUT = (Path(__file__).parent.parent / "golden" / "timeline.txt").read_text()
SCORE = Score(
    "s", "batch", "ljf", "eevdf", {}, "makespan_ms", "ms", "virtual", 2, (Pair(100.0, 80.0),) * 3,
    Ratio(1.25, (1.2, 1.3)), 1.33, True, "win",
)  # fmt: skip


@pytest.fixture(scope="module")
def timelines():
    return {name: read_timeline(OUT, where=name) for name in ("eevdf", "ljf")}


def test_every_picture_comes_as_png_and_svg(tmp_path, timelines):
    pictures = draw(tmp_path / "run", [SCORE], timelines)
    names = {path.name: path.read_bytes()[:5] for path in (tmp_path / "run").iterdir()}
    assert set(names) == {f"{name}.{form}" for name in ("scores", "timeline", "waits") for form in ("png", "svg")}
    assert all(start == (b"\x89PNG\r" if name.endswith("png") else b"<?xml") for name, start in names.items())
    shown = pictures.markdown()
    assert all(f"![{name}]({name}.png)" in shown for name in ("scores", "timeline", "waits"))
    within = re.findall(r"!\[\w+\]\(data:image/png;base64,([^)]*)\)", pictures.markdown(embedded=True))
    assert [base64.b64decode(data) for data in within] == [
        (tmp_path / "run" / f"{name}.png").read_bytes() for name in ("scores", "timeline", "waits")
    ]


def test_a_picture_that_is_gone_or_too_large_for_a_page_is_left_out_of_it(tmp_path):
    (tmp_path / "scores.png").write_bytes(bytes(MOST_BYTES + 1))
    pictures = Pictures({"scores": tmp_path / "scores.png", "waits": tmp_path / "waits.png"})
    assert pictures.markdown(embedded=True) == ""
    (tmp_path / "scores.png").write_bytes(bytes(MOST_BYTES))
    assert pictures.markdown(embedded=True).startswith("![scores](data:image/png;base64,AAAA")


def test_bars_are_named_by_what_tells_them_apart():
    knobs = [{}, {"slice_ns": 5, "lag_ns": 1}, {"slice_ns": 9, "lag_ns": 1}, {"slice_ns": 9, "lag_ns": 1}]
    scores = [SCORE, *(replace(SCORE, policy="vtime", knob_values=values) for values in knobs)]
    assert plots.score_labels(scores) == [
        "ljf", "vtime\nas it is", "vtime\nlag_ns=1, slice_ns=5", "vtime\nlag_ns=1, slice_ns=9 #1",
        "vtime\nlag_ns=1, slice_ns=9 #2",
    ]  # fmt: skip
    long = [replace(SCORE, knob_values={"job_comm": "x" * 90 + end}) for end in "ab"]
    labels = plots.score_labels(long)
    assert len(set(labels)) == 2 and max(len(line) for label in labels for line in label.split("\n")) < 40


def test_a_title_longer_than_the_picture_is_wide_is_broken_and_not_cut():
    title = f"batch, seed 7: 16 CPUs, 2 LLCs; sockets, all 16 CPUs: {'2 of 2 LLCs, ' * 5}what the machine's costs took"
    svg = plots.draw_scores([SCORE], title=title, form="svg").decode()
    texts = re.findall(r"<!-- (.*?) -->", svg, re.DOTALL)
    lines = [line for text in texts for line in text.split("\n")]
    assert title in " ".join(lines), "all of it"
    assert max(map(len, lines)) <= plots.TITLE


def test_an_inconclusive_bar_says_why_and_no_text_is_crossed_by_the_bound():
    unsure = replace(SCORE, ratio=Ratio(1.0, (0.98, 1.02)), outcome="inconclusive", doubt="floor", floor=1.013)
    svg = plots.draw_scores([SCORE, unsure], title="batch", form="svg").decode()
    comments = re.findall(r"<!-- (.*?) -->", svg)
    assert "inconclusive: within floor 1.3 %" in comments and "win" in comments
    right = max(float(x) for x in re.findall(r"patch_2.*?L ([\d.]+) ", svg, re.DOTALL)[:1])
    placed = re.findall(r"<!-- (?:1\.\d\dx|win|inconclusive).*?translate\(([\d.]+)", svg, re.DOTALL)
    assert len(placed) == 4 and min(map(float, placed)) > right


def test_the_axis_of_waits_is_in_plain_milliseconds(timelines):
    svg = plots.draw_waits(timelines, title="batch", form="svg").decode()
    comments = re.findall(r"<!-- (.*?) -->", svg)
    assert "ms from runnable to running" in comments and {"0.1", "1"} <= set(comments)
    assert not [comment for comment in comments if "mathdefault" in comment]


def test_without_timelines_the_scores_alone(tmp_path):
    pictures = draw(tmp_path, [SCORE], {}, perfetto=True)
    assert set(pictures.files) == {"scores"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scores.png", "scores.svg"]


def test_a_machine_s_costs_are_a_picture_of_their_own(tmp_path):
    paid = {"policy": Paid(busy_ps=100, l2_ps=20, smt_ps=30), "baseline": Paid(busy_ps=100, llc_ps=1)}
    scores = [replace(SCORE, policy=name, paid=paid) for name in ("ljf", "rr")]
    pictures = draw(tmp_path, scores, {})
    assert set(pictures.files) == {"scores", "costs"} and "![costs](costs.png)" in pictures.markdown()
    svg = (tmp_path / "costs.svg").read_text()
    assert CAUSES["smt_ps"] in svg and CAUSES["llc_ps"] in svg and CAUSES["remote_ps"] not in svg
    assert set(draw(tmp_path / "b", [scores[0], SCORE], {}).files) == {"scores"}


def test_a_perfetto_trace_on_request(tmp_path, timelines):
    pictures = draw(tmp_path, [SCORE], timelines, perfetto=True)
    events = json.loads(pictures.files["perfetto"].read_text())["traceEvents"]
    assert {event["ph"] for event in events} >= {"X", "M"}
    assert "perfetto" not in pictures.markdown()


def test_a_directory_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InfraError, match=r"file/scores\.png: File exists"):
        draw(tmp_path / "file", [SCORE], {})


@pytest.mark.parametrize("name", [" ".join(NAMES.values()), r"$\frac{$", "$x$", r"\$"], ids=range(4))
def test_names_from_outside_are_drawn_as_they_are(name):
    scores = [replace(SCORE, policy=name, metric=name, unit=name, baseline=name)]
    timeline = Timeline((Span(0, 1, name, 0, 1000),), (Wait(1, name, 0, 5), Wait(2, name, 3, 9, served=False)), 1000, 0)
    pictures = [
        draw_scores(scores, title=name, form="svg"), draw_timelines({name: timeline}, title=name, form="svg"),
        draw_waits({name: timeline}, title=name, form="svg"),
        draw_states({name: timeline}, title=name, form="svg"),
    ]  # fmt: skip
    for picture in pictures:
        assert not unseen(picture.decode(), lines=True)
        assert ElementTree.fromstring(picture) is not None


def test_a_name_is_drawn_in_its_letters_and_what_the_font_lacks_is_told_apart(recwarn):
    names = ["çıkış", "日本", "中国", r"caf\xc3", "a$b"]
    spans = tuple(Span(0, pid, name, 1000 * pid, 1000 * pid + 900) for pid, name in enumerate(names, 1))
    waits = tuple(Wait(pid, name, 0, 5, served=False) for pid, name in enumerate(names, 1))
    lines = {"日本": Timeline(spans, waits, 9000, 0)}
    for picture in (draw_timelines(lines, title="é 日", form="svg"), draw_states(lines, title="é 日", form="svg")):
        drawn = set(re.findall(r"<!-- (.*?) -->", picture.decode()))
        told = {text.partition(" [")[0] for text in drawn}
        assert {"çıkış", r"\u65e5\u672c", r"\u4e2d\u56fd", r"caf\xc3", "a$b"} <= told, told
        assert r"é \u65e5" in drawn and not any("?" in text for text in drawn)
        assert len(set(re.findall(r'<use xlink:href="#(DejaVuSans-\w+)"', picture.decode()))) > 10
    assert not [warning for warning in recwarn if "lyph" in str(warning.message)]

# SPDX-License-Identifier: Apache-2.0
"""examples/ci-fleet: which commands it types, what it makes of a rollout, and the page that it writes."""

from __future__ import annotations

import importlib.util
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks.workloads import outside
from tasks.rollout.plan_file import read_plan

PLACE = Path(__file__).parents[2] / "examples/ci-fleet"


def loaded() -> Any:
    spec = importlib.util.spec_from_file_location("ci_fleet", PLACE / "run.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules["ci_fleet"] = made
    spec.loader.exec_module(made)
    return made


ci = loaded()
FRIDAY, SUNDAY = datetime(2026, 11, 27, 10), datetime(2026, 11, 29, 10)


def window(arm: str, ms: float) -> dict[str, Any]:
    return {"arm": arm, "values": {ci.METRIC: ms}}


class Fake:
    """`schedcp`, with the answers of a rollout that ended so."""

    def __init__(self, end: str, windows: list[dict[str, Any]], *, best: bool = True, fails: str = "") -> None:
        self.end, self.windows, self.best, self.fails = end, windows, best, fails
        self.typed: list[tuple[str, ...]] = []

    def __call__(self, *words: str | Path, status: tuple[int, ...] = (0,)) -> dict[str, Any]:
        self.typed.append(tuple(map(str, words)))
        if self.fails and self.typed[-1][0] == self.fails:
            raise ci.StepError(f"`schedcp {self.fails}` ended with 4")
        best = {"token": "a.dsse.json", "policy": "ljf", "ratio": {"median": 1.3, "ci95": [1.2, 1.4]}}
        answers = {
            "verifierd": {"key_id": "k" * 64}, "verify": {"token": "bad.dsse.json", "object_sha256": "b" * 64},
            "tune": {"best": best if self.best else None, "candidates_tried": 3, "rejected": 1},
            "token": {"token": {"object_sha256": "a" * 64}}, "stop": {"hosts": [{"stopped": True}]},
            "rollout": {"id": "r1", "done": {"end": self.end, "why": "p99 <b>"}, "status": 0},
            "lake": {"entries": [{"kind": "rollouts", "data": {"windows": self.windows}}]},
        }  # fmt: skip
        return answers.get(self.typed[-1][0], {})


def told(fake: Fake, place: Path, *words: str, now: datetime = FRIDAY) -> tuple[int, str]:
    (place / "trust").mkdir(exist_ok=True)
    status = ci.tell_all(fake, place, ci.parse([*words, "--out", str(place)]), now)
    return status, (place / "story.html").read_text()


GOOD = [window("baseline", 1000.0), window("policy", 800.0), window("baseline", 1100.0), window("policy", 840.0)]


def test_the_good_one_is_observed_chosen_verified_tried_counted_and_stopped(tmp_path: Path) -> None:
    fake = Fake("promoted", GOOD)
    status, page = told(fake, tmp_path, "--hosts", "2", "--minutes", "1000", "--usd", "0.01")
    assert status == 0
    assert [words[0] for words in fake.typed] == [
        "verifierd", "fleet", "host", "tune", "token", "rollout", "lake", "stop", "fleet", "report",
    ]  # fmt: skip
    rollout = fake.typed[5]
    assert rollout[1:4] == ("a.dsse.json", "--object", f"data/objects/{'a' * 64}.bpf.o")
    assert rollout[-4:] == ("--host", "ci-1", "--host", "ci-2")
    assert "1050 ms under EEVDF and 820 ms under the policy (-22 %; medians of 2 and 2 windows)" in page
    assert "would be 781 minutes, $7.81: $2.19 saved" in page
    assert "p99 &lt;b&gt;" in page and "<b>" not in page and 'href="report/index.html"' in page
    assert (tmp_path / "trust/allow-lab").read_text() == f"{'k' * 64}\n"


def test_the_bad_one_is_to_be_taken_back(tmp_path: Path) -> None:
    bad = [window("baseline", 100.0), window("policy", 150.0)]
    fake = Fake("rolled_back", bad)
    status, page = told(fake, tmp_path, "bad")
    assert status == 0 and "verify" in [words[0] for words in fake.typed] and "(+50 %" in page and "lost." in page
    assert told(Fake("promoted", bad), tmp_path, "bad")[0] == 1, "a bad policy that stays is no success"


def test_a_canary_keeps_to_its_hours(tmp_path: Path) -> None:
    fake = Fake("promoted", GOOD)
    status, page = told(fake, tmp_path, "--hours", "9-17", now=SUNDAY)
    assert status == 1 and "rollout" not in [words[0] for words in fake.typed] and "Not now" in page
    assert [ci.in_hours("9-17", FRIDAY.replace(hour=hour)) for hour in (8, 9, 16, 17)] == [False, True, True, False]


@pytest.mark.parametrize("fails", ["host", "tune", "rollout", "stop"])
def test_whatever_fails_the_fleet_goes_down(fails: str, tmp_path: Path) -> None:
    fake = Fake("promoted", GOOD, fails=fails)
    with pytest.raises(ci.StepError):
        told(fake, tmp_path)
    assert fake.typed[-1] == ("fleet", "down", "--name", "ci")


def test_nothing_that_won_goes_nowhere(tmp_path: Path) -> None:
    with pytest.raises(ci.StepError, match="nothing won"):
        told(Fake("promoted", GOOD, best=False), tmp_path)


def test_one_arm_alone_says_nothing_of_minutes() -> None:
    assert ci.minutes_of({"windows": GOOD[:1]}) is None
    assert ci.minutes_of({"windows": [{"arm": "policy", "values": {}}, *GOOD]}).windows == (2, 2)


def test_its_files_are_what_the_program_reads() -> None:
    assert outside(PLACE / "builds.toml").metric in ci.METRIC
    plan = read_plan(PLACE / "plan.toml")
    assert [step.kind for step in plan.steps] == ["shadow", "full"] and plan.metrics[0].name == ci.METRIC

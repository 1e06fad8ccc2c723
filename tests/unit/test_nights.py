# SPDX-License-Identifier: Apache-2.0
"""Nights compared: what is news, what changed, and which recorded input changed a digit."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from score_cases import PROVENANCE
from test_drive import INPUTS

from control_plane.nights import cause_lines
from policy_lake.errors import InputError
from policy_lake.exchange import ConflictError
from policy_lake.measurement import Measurement
from policy_lake.night import Night
from policy_lake.records import Run
from policy_lake.scores import Pair, Ratio, Score
from policy_lake.tuned import RunError, TuneResult
from tasks.nights import plan as planned
from tasks.nights.bisect import bisect
from tasks.nights.plan import night_id, workloads_of
from tasks.nights.series import change_of, compared, history, in_order, is_night, latest, nights_of
from tasks.nights.tell import check_url, words_of

WIN = Night(
    "night-batch-1", "batch", "2026-11-01T02:30", "ljf", "s1", Ratio(1.3, (1.25, 1.35)), "win",
    {"kernel": "7.3.4", "clock": "vclock", "accelerator": "tcg"},
)  # fmt: skip


def after(**changes: Any) -> Night:
    return replace(WIN, run="night-batch-2", started="2026-11-02T02:30", **changes)


@pytest.mark.parametrize(
    ("night", "kind"),
    [
        (after(), "same"),
        (after(inputs=WIN.inputs | {"kernel": "7.3.5"}), "changed"),
        (after(ratio=Ratio(1.31, (1.25, 1.36))), "changed"),
        (after(ratio=Ratio(1.2, (1.1, 1.24))), "regression"),
        (after(ratio=Ratio(1.2, (1.1, 1.26))), "changed"),
        (after(outcome="inconclusive"), "regression"),
        (after(ratio=None, outcome=None, policy=""), "regression"),
        (after(ratio=Ratio(1.5, (1.4, 1.6))), "win"),
        (after(policy="rr"), "win"),
        (after(failed="Ray did not start"), "failure"),
        (after(inputs=WIN.inputs | {"clock": "wall", "accelerator": "kvm"}, ratio=Ratio(1.0, (0.9, 1.1))), "first"),
    ],
)
def test_what_kind_of_news_a_night_is(night: Night, kind: str) -> None:
    change = change_of(night, WIN)
    assert change.kind == kind and change.before == WIN


def test_the_first_night_and_one_after_a_failure() -> None:
    lost = after(failed="killed", ratio=None)
    third = replace(WIN, run="night-batch-3", inputs=WIN.inputs | {"kernel": "7.3.5"})
    first, second, last = compared([WIN, lost, third])
    assert (first.kind, second.kind, last.kind) == ("win", "failure", "changed")
    assert last.before == WIN and last.changed == {"kernel": ("7.3.4", "7.3.5")}
    assert words_of(last).endswith("changed: kernel 7.3.4 -> 7.3.5") and words_of(second) == "batch: killed"
    assert in_order([first, second, change_of(after(outcome="loss"), WIN)])[0].kind == "regression"


def score(id: str, ids: tuple[str, ...], policy: str = "ljf", **of: Any) -> Score:
    return Score(
        id, "batch", policy, "eevdf", {}, "makespan_ms", "ms", "virtual", 2, (Pair(2.0, 1.0, 1),),
        Ratio(1.3, (1.25, 1.35)), None, True, "win", candidate=f"c-{id}", kernel="7.3.4", accel="tcg",
        provenance=replace(PROVENANCE, **of), measurements=ids,
    )  # fmt: skip


def run(number: int, of: Score) -> Run:
    best: Any = SimpleNamespace(
        policy=of.policy, knob_values={}, candidate=of.candidate, ratio=of.ratio, outcome=of.outcome
    )
    tried: Any = SimpleNamespace(id=of.candidate, score=of.id)
    summary = TuneResult(
        f"night-batch-{number}", "batch", (SimpleNamespace(candidates=(tried,)),), best, 1, 0, 0, {}, None,
    )  # type: ignore[arg-type]  # fmt: skip
    return Run(f"night-batch-{number}", "batch", "done", f"2026-11-0{number}T02:30", summary=summary, version="0.1.0")


class FakeLake:
    def __init__(self, runs: list[Run], scores: list[Score], measured: list[Measurement]) -> None:
        self._runs, self._scores, self._measured = runs, scores, measured

    def runs(self, workload: str | None = None) -> list[Run]:
        return [one for one in self._runs[::-1] if workload in (None, one.workload)]

    def scores(self, workload: str | None = None) -> list[Score]:
        return self._scores

    def measurements(self, ids: Any) -> dict[str, Measurement]:
        return {one.id: one for one in self._measured if one.id in ids}

    def all(self, kind: str) -> list[Measurement]:
        return self._measured


def measured(metric: float, policy: str = "", host: str = "alpha", **inputs: Any) -> Measurement:
    of = replace(INPUTS, **inputs)
    return Measurement(f"{of.key}-{policy}-{metric}", "batch", policy, of, {"makespan_ms": metric}, host=host)


def lake_of(*nights: list[Measurement], more: list[Measurement] | None = None) -> Any:
    scores = [score(f"s{n}", tuple(one.id for one in night)) for n, night in enumerate(nights, 1)]
    runs = [run(number, one) for number, one in enumerate(scores, 1)]
    return FakeLake(runs, scores, [one for night in nights for one in night] + (more or []))


def test_a_night_is_what_a_schedule_began() -> None:
    assert is_night(run(1, score("s", ()))) and not is_night(replace(run(1, score("s", ())), id="batch-1"))
    odd = replace(run(1, score("s", ())), id="night-batch-20261128", workload="night-batch")
    assert not is_night(odd), "a workload of that name, tuned by day"
    assert night_id("batch").startswith("night-batch-2")
    failed = Run("night-batch-9", "batch", "failed", "2026-11-09", summary=RunError("no kernel"))
    going = replace(failed, id="night-batch-10", status="running")
    lake: Any = FakeLake([run(1, score("s1", ())), failed, going], [score("s1", ())], [])
    first, second = nights_of(lake)
    assert first.score == "s1" and first.inputs["version"] == "0.1.0" and first.inputs["kernel"].startswith("7.3.4 (")
    assert second.failed == "no kernel"
    assert [one.kind for one in history(lake, "batch")] == ["failure", "win"] and latest(lake)[0].kind == "failure"
    with pytest.raises(InputError, match="no night of 'x'"):
        latest(lake, "x")


def test_the_input_that_changed_a_digit_is_found() -> None:
    old = [measured(5.0), measured(3.0, "ljf", object_sha256="a")]
    same = [measured(5.0), measured(3.1, "ljf", object_sha256="b")]
    newer = [measured(5.5, kernel_sha256="k2", snapshot="t"), measured(3.1, "ljf", object_sha256="b")]
    cause = bisect(lake_of(old, same, newer), "batch")
    assert cause is not None and cause.policy == "" and cause.nights == ("night-batch-2", "night-batch-3")
    assert list(cause.cause) == ["kernel_sha256"] and not cause.suspects and (cause.before, cause.now) == (5.0, 5.5)
    assert "because of kernel_sha256" in "\n".join(cause_lines(cause))
    policy = bisect(lake_of(old, same), "batch")
    assert policy is not None and policy.policy == "ljf" and policy.cause == {"object_sha256": ("a", "b")}
    assert bisect(lake_of(old, old), "batch") is None


def test_of_inputs_that_changed_together_the_one_that_runs_show_to_matter() -> None:
    before, now = measured(5.0), measured(5.5, kernel_sha256="k2", qemu="11", snapshot="t")
    both = bisect(lake_of([before], [now]), "batch")
    assert both is not None and both.cause == {} and set(both.suspects) == {"kernel_sha256", "qemu"}
    apart = measured(5.5, kernel_sha256="k2", snapshot="u")
    shown = bisect(lake_of([before], [now], more=[apart]), "batch")
    assert shown is not None and list(shown.cause) == ["kernel_sha256"] and list(shown.suspects) == ["qemu"]


def test_digits_that_changed_with_no_input_are_an_alarm_and_too_few_nights_are_said() -> None:
    with pytest.raises(ConflictError, match="on alpha and beta"):
        bisect(lake_of([measured(5.0)], [measured(5.5, host="beta")]), "batch")
    with pytest.raises(InputError, match="1 nights with a score"):
        bisect(lake_of([measured(5.0)]), "batch")
    with pytest.raises(InputError, match="wall clock"):
        bisect(lake_of([], []), "batch")


def test_a_night_has_the_named_workloads_and_the_recorded_services(monkeypatch: pytest.MonkeyPatch) -> None:
    described = [("api", "service", "x.parquet"), ("make", "build", "y.parquet"), ("wakeup", "service", "")]
    known = [SimpleNamespace(id=id, kind=kind, trace=trace) for id, kind, trace in described]
    monkeypatch.setattr(planned, "list_workloads", lambda settings: (known, ()))
    settings: Any = None
    assert workloads_of(["batch", "batch"], True, settings) == ["batch", "api"]
    assert workloads_of(["batch"], False, settings) == ["batch"]
    with pytest.raises(InputError, match="these are 0"):
        workloads_of([], False, settings)


@pytest.mark.parametrize("url", ["", "ftp://x", "http://", "https://[::1", "http://x:0/", "http://x:99999/"])
def test_what_is_no_webhook_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="--webhook"):
        check_url(url)
    check_url("https://chat.example.org/hooks/1?x=y")

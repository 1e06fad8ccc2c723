# SPDX-License-Identifier: Apache-2.0
"""`schedcp.verify` and `schedcp.score` take the same knob values from the same mapping."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import schedcp

from policy_lake.errors import InputError
from policy_lake.knobs import settle
from tasks.trial.given import Given, read_given

DECLARED = (
    "const volatile char job_comm[4][16];\nconst volatile u64 job_ns[4];\n"
    "const volatile u64 slice_ns;\nconst volatile bool preempt;\n"
)


class Taken(Exception):
    """Ends a call where the compiler would start."""


@pytest.fixture
def settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What `call` settles the knob values of a policy with a knob of each kind to."""
    source, settings = tmp_path / "mine.bpf.c", schedcp.Settings(data_dir=tmp_path / "data")
    source.write_text(DECLARED)

    def check(given: Given, *_: object, **__: object) -> None:
        raise Taken(given)

    def asked(*words: Any, **more: Any) -> None:
        check(read_given(*words, **more))

    monkeypatch.setattr(Given, "check", check)
    monkeypatch.setattr("tasks.tokens.issue.read_given", asked)
    monkeypatch.setattr("tasks.host.lake.open_lake", lambda _: None)
    for module in ("tasks.verify", "tasks.score"):
        monkeypatch.setattr(f"{module}.prepare_guest", lambda *_: SimpleNamespace(kernel=None))

    def settled(call: str, **given: Any) -> dict[str, Any]:
        words = ("batch",) if call == "score" else ()
        with pytest.raises(Taken) as taken:
            getattr(schedcp, call)(source, *words, settings, **given)
        return settle(taken.value.args[0].policy, taken.value.args[0].values)

    return settled


@pytest.mark.parametrize(
    ("knobs", "meant"),
    [
        ({"job_comm": ["a", "Isolated Web Co"]}, {"job_comm": "a,Isolated Web Co"}),
        ({"job_comm": ("a", "b")}, {"job_comm": "a,b"}),
        ({"job_comm": "a,b"}, {"job_comm": "a,b"}),
        ({"job_comm": []}, {"job_comm": ""}),
        ({"job_ns": [1, 2.0, "0x10"]}, {"job_ns": "1,2,16"}),
        ({"job_ns": 7}, {"job_ns": "7"}),
        ({"slice_ns": 5_000_000}, {"slice_ns": 5_000_000}),
        ({"slice_ns": 5e6}, {"slice_ns": 5_000_000}),
        ({"slice_ns": "5000000"}, {"slice_ns": 5_000_000}),
        ({"preempt": True, "slice_ns": 1}, {"slice_ns": 1, "preempt": True}),
        ({"preempt": 0.0}, {"preempt": False}),
        ({"preempt": "off"}, {"preempt": False}),
        ({}, {}),
        (None, {}),
    ],
)
def test_score_and_verify_settle_the_same_mapping_alike(settled: Any, knobs: Any, meant: dict[str, Any]) -> None:
    assert settled("verify", knobs=knobs) == settled("score", knobs=knobs) == meant


@pytest.mark.parametrize("call", ["verify", "score"])
@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"knobs": ["slice_ns=1"]}, r"^knobs='\['slice_ns=1'\]': not a mapping"),
        ({"knobs": "slice_ns=1"}, "^knobs='slice_ns=1': not a mapping"),
        ({"sets": [("limit", 1)]}, "^sets=.*: not a mapping"),
        ({"knobs": {1: 2}}, "^knobs: '1' is no name"),
        ({"knobs": {"slice_ns": True}}, "is a whole number"),
        ({"knobs": {"slice_ns": 0.5}}, "is a whole number"),
        ({"knobs": {"job_comm": ["a,b"]}}, "without a comma"),
        ({"knobs": {"job_comm": {"a"}}}, "takes a list or comma-separated text, not"),
        ({"knobs": {"job_comm": None}}, "takes a list or comma-separated text, not 'None'"),
        ({"knobs": {"job_comm": [None]}}, "takes names of 1 to"),
        ({"knobs": {"job_ns": {"1": 2}}}, "takes a list or comma-separated text, not"),
    ],
)
def test_what_neither_takes_is_an_input_error_in_both(settled: Any, call: str, given: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        settled(call, **given)


@pytest.mark.parametrize("call", ["verify", "score"])
def test_paths_may_be_text_and_one_is_no_list(settled: Any, call: str, tmp_path: Path) -> None:
    settled(call, include_dirs=[str(tmp_path)])
    for name in ("include_dirs", "linked"):
        words = ("batch",) if call == "score" else ()
        with pytest.raises(InputError, match=f"^{name}='/tmp': not a list of paths"):
            getattr(schedcp, call)(
                tmp_path / "mine.bpf.c", *words, schedcp.Settings(data_dir=tmp_path), **{name: "/tmp"}
            )


LONG = 10**5000


@pytest.mark.parametrize(
    "call",
    [
        lambda: schedcp.score("fifo", "batch", pairs="5"),  # type: ignore[arg-type]
        lambda: schedcp.score("fifo", "batch", pairs=LONG),
        lambda: schedcp.score("fifo", "batch", seed=LONG),
        lambda: schedcp.score("fifo", "batch", knobs={"slice_ns": LONG}),
        lambda: schedcp.tune("batch", iterations=LONG),
        lambda: schedcp.Settings(cpus=LONG),
        lambda: schedcp.score("fifo", "batch", {"cpus": 2}),  # type: ignore[arg-type]
        lambda: schedcp.score("fifo", Path("/none/of.toml")),
    ],
)
def test_what_a_program_gives_by_mistake_is_bad_input_in_one_line(call: Any) -> None:
    with pytest.raises(schedcp.InputError) as caught:
        call()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300

# SPDX-License-Identifier: Apache-2.0
"""What is said before any policy is tried: a replay that is unlike its original, and that there is nothing to win."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from flow_cases import PROFILE
from trace_cases import parent_and_child

from benchmarks.remarks import recorded_ms, remarks
from benchmarks.trace.file import write_trace
from benchmarks.trace.tasks import replace_info
from benchmarks.workloads import asking, at_size, workload
from policy_lake.model import from_json, to_json
from policy_lake.profile import Reached, WorkloadProfile
from tasks.host.settings import Settings
from tasks.host.workloads import add_workload
from tasks.run.report import markdown_report, text_report

SECONDS = {"total": 1.0, "vm": 1.0, "overhead": 0.0}
FINE = Reached("makespan_ms", "ms", 1000.0, 900.0, 1000.0, (1000.0, 1000.0))


@pytest.mark.parametrize(
    ("reached", "told"),
    [
        (FINE, []),
        (replace(FINE, replayed_ms=1101.0), ["original: its replay takes 1101 ms, and what was recorded took 1000 ms"]),
        (replace(FINE, replayed_ms=1099.0), []),
        (replace(FINE, replayed_ms=899.0), ["not like its original"]),
        (replace(FINE, recorded_ms=(500.0, 1000.0)), ["between 500 and 1000 ms by itself"]),
        (replace(FINE, recorded_ms=(0.0, 1000.0)), ["up to 1000 ms by itself"]),
        (replace(FINE, recorded_ms=(950.0, 3000.0)), []),
        (replace(FINE, recorded_ms=(500.0, 900.0)), ["between 500 and 900 ms"]),
        (replace(FINE, bound=971.0), ["makespan_ms is 1000 ms under EEVDF, and arithmetic allows no less than 971"]),
        (replace(FINE, bound=970.0), []),
        (replace(FINE, bound=971.0, replayed_ms=7450.0), ["not like its original", "othing to win here"]),
        (replace(FINE, bound=None), []),
        (replace(FINE, recorded_ms=None, replayed_ms=None), []),
    ],
)  # fmt: skip
def test_what_is_said(reached: Reached, told: list[str]) -> None:
    said = remarks(replace(PROFILE, reached=reached))
    assert len(said) == len(told) and all(part in text for part, text in zip(told, said, strict=True)), said
    profile = replace(PROFILE, reached=reached)
    for report in (markdown_report, text_report):
        text = " ".join(report(profile, [], token=None, seconds=SECONDS).replace("\\", "").split())
        places = [text.index(part) for part in told]
        assert sorted(places) == places and all(place < text.index("Nothing was tried") for place in places)


def test_a_profile_of_an_older_schedcp_says_nothing() -> None:
    assert remarks(PROFILE) == ()
    kept = to_json(replace(PROFILE, reached=FINE))
    assert from_json(WorkloadProfile, kept).reached == FINE
    del kept["reached"]
    assert from_json(WorkloadProfile, kept).reached is None


def test_how_long_a_piece_took_by_itself(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")
    quiet = parent_and_child()
    busy = replace(quiet.info, busy_share=1.0, quiet_us=5000)
    for name, info in (("quiet", quiet.info), ("busy", busy), ("unknown", replace(busy, quiet_us=0))):
        write_trace(replace_info(quiet, info), tmp_path / f"{name}.parquet")
    found = {name: add_workload(tmp_path / f"{name}.parquet", settings) for name in ("quiet", "busy", "unknown")}
    whole = {name: recorded_ms(each) for name, each in found.items()}
    took = whole["quiet"]
    assert took is not None and took[0] == took[1] > 0
    assert whole["busy"] == (pytest.approx(took[1] / 2), took[1]) and whole["unknown"] == (0.0, took[1])
    part = recorded_ms(asking(at_size(found["quiet"], "standard"), "cpu_ms=4"))
    assert part is not None and 0 < part[1] < took[1]
    assert recorded_ms(workload("batch")) is None

# SPDX-License-Identifier: Apache-2.0
"""`schedcp policies`: the library with what this lake holds of it, and without where there is none or it is damaged."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from planner_cases import score

from control_plane import lake as module
from policy_lake.records import LakeError


@pytest.fixture
def listed(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Any:
    def run(scores: Any, *, exists: bool = True) -> tuple[dict[str, Any], str]:
        place = tmp_path / ("lake" if exists else "none")
        if exists:
            place.mkdir(exist_ok=True)
        monkeypatch.setattr(module, "load_settings", lambda: SimpleNamespace(lake_dir=place))
        monkeypatch.setattr(module, "_lake", lambda _: SimpleNamespace(scores=scores))
        module.policies_command(as_json=True)
        done = capsys.readouterr()
        return {one["id"]: one for one in json.loads(done.out)["policies"]}, done.err

    return run


def test_each_policy_has_its_records(listed: Any) -> None:
    won = score("ljf", 1.3)
    known, _ = listed(lambda: [type(won)(**{**{n: getattr(won, n) for n in won.__slots__}, "candidate": "c"})])
    (record,) = known["ljf"]["records"]
    assert (record["workload"], record["cpus"], record["ratio"]["median"], record["score"]) == ("batch", 2, 1.3, won.id)
    assert known["rr"]["records"] == []


def test_without_a_lake_or_with_a_damaged_one_the_library_is_listed_all_the_same(listed: Any) -> None:
    def damaged() -> Any:
        raise LakeError("the lake is damaged")

    assert listed(lambda: pytest.fail("read"), exists=False)[0]["ljf"]["records"] == []
    known, said = listed(damaged)
    assert known["ljf"]["records"] == [] and "without what was measured: the lake is damaged" in said

# SPDX-License-Identifier: Apache-2.0
"""Precompiled headers that several processes keep in one place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bpf import precompiled


def test_the_latest_stay_and_one_that_another_process_removes_meanwhile_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(precompiled.KEEP + 2):
        home = tmp_path / f"pch-{number}"
        home.mkdir()
        os.utime(home, (number, number))
    found = Path.glob
    monkeypatch.setattr(Path, "glob", lambda self, what: [*found(self, what), tmp_path / "pch-gone"])
    precompiled._prune(tmp_path / "pch-0")
    monkeypatch.undo()
    assert {path.name for path in tmp_path.iterdir()} == {f"pch-{n}" for n in range(2, precompiled.KEEP + 2)}

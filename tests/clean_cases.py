# SPDX-License-Identifier: Apache-2.0
"""A host with something of everything that `schedcp clean` removes, and of what it must not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.host import places
from tasks.host.places import CACHE, DATA, KERNELS
from tasks.host.settings import load_settings


def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A cache and a data directory, and a file of somebody else's in each; Ray's files are looked for here alone."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(places, "SHARED", str(tmp_path / "shared"))
    (tmp_path / "tmp").mkdir()
    (tmp_path / "shared").mkdir()
    for folder, names in (("cache", CACHE), ("data", DATA)):
        for name in names:
            (tmp_path / folder / name).mkdir(parents=True)
            (tmp_path / folder / name / "file").write_bytes(bytes(8192))
        (tmp_path / folder / "letter.txt").write_text("mine")
    for name in ("now", "old"):
        for part in ("bzImage", "pch-1/header.pch"):
            path = tmp_path / "cache" / KERNELS / name / part
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(4096))
    (tmp_path / "cache" / KERNELS / "current.json").write_text(json.dumps({"directory": "/elsewhere/kernels/now"}))
    return load_settings(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data")


def left(directory: Path) -> set[str]:
    """The files that are still there, by their places below it."""
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()} - {"in-use.lock"}

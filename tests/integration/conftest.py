# SPDX-License-Identifier: Apache-2.0
"""What a set-up has made, for tests that compile."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def vmlinux_dir() -> Path:
    """The directory of the newest vmlinux.h that a set-up has made."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "schedcp"
    found = sorted(cache.glob("kernel*/**/vmlinux.h"), key=lambda path: path.stat().st_mtime)
    if not found:
        if os.environ.get("REQUIRE_VM") == "1":
            pytest.fail("no vmlinux.h in the cache: run `make setup`")
        pytest.skip("no vmlinux.h in the cache: run `make setup`")
    return found[-1].parent

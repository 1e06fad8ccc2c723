# SPDX-License-Identifier: Apache-2.0
"""A skip says why; with REQUIRE_VM=1, which CI sets, it is a failure."""

from __future__ import annotations

import os

import pytest


def skip_or_fail(why: str) -> None:
    """Skip the test, or fail it where guests are required."""
    if os.environ.get("REQUIRE_VM") == "1":
        pytest.fail(f"REQUIRE_VM=1, and {why}")
    pytest.skip(why)

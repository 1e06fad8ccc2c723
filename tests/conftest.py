# SPDX-License-Identifier: Apache-2.0
"""What all tests share: a guest where one can be booted, and a look at what a test left running."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from policy_lake.model import SchedcpError


def skip_or_fail(why: str) -> None:
    """A skip says why; with REQUIRE_VM=1, which CI sets, it is a failure."""
    if os.environ.get("REQUIRE_VM") == "1":
        pytest.fail(f"REQUIRE_VM=1, and {why}")
    pytest.skip(why)


@pytest.fixture(scope="session")
def guest():
    """The guest of this machine: kernel, image, accelerator."""
    from tasks.guest import prepare_guest
    from tasks.settings import load_settings

    try:
        return prepare_guest(load_settings(), cpus=2)
    except SchedcpError as error:
        skip_or_fail(f"no guest can be booted here: {error}")


def processes(*needles: str) -> list[int]:
    """Processes whose command line has every needle."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if words and all(needle in words for needle in needles):
            found.append(int(entry.name))
    return found

# SPDX-License-Identifier: Apache-2.0
"""What all tests share: a guest, where one can be booted."""

from __future__ import annotations

import os

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
        return prepare_guest(load_settings())
    except SchedcpError as error:
        skip_or_fail(f"no guest can be booted here: {error}")

# SPDX-License-Identifier: Apache-2.0
"""What all tests share: a guest, where one can be booted."""

from __future__ import annotations

import pytest
from skipping import skip_or_fail

from policy_lake.model import SchedcpError


@pytest.fixture(scope="session")
def guest():
    """The guest of this machine: kernel, image, accelerator."""
    from tasks.host.guest import prepare_guest
    from tasks.host.settings import load_settings

    try:
        return prepare_guest(load_settings())
    except SchedcpError as error:
        skip_or_fail(f"no guest can be booted here: {error}")

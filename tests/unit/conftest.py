# SPDX-License-Identifier: Apache-2.0
"""Fixtures that several unit tests share."""

from __future__ import annotations

import os
import subprocess

import pytest
from skipping import skip_or_fail


@pytest.fixture
def small_disk(tmp_path):
    """A directory on a file system of 4 MB."""
    if os.geteuid() != 0:
        skip_or_fail("needs root to mount a small tmpfs")
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", tmp_path]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        skip_or_fail(f"cannot mount a tmpfs: {mounted.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", "-l", tmp_path], check=True)

# SPDX-License-Identifier: Apache-2.0
"""What all tests share: a guest, where one can be booted."""

from __future__ import annotations

import os
import subprocess

import pytest
from machine_cases import sysfs
from skipping import skip_or_fail

from policy_lake.errors import SchedcpError


@pytest.fixture(scope="session")
def guest():
    """The guest of this machine: kernel, image, accelerator."""
    from tasks.host.guest import prepare_guest
    from tasks.host.settings import load_settings

    try:
        return prepare_guest(load_settings())
    except SchedcpError as error:
        skip_or_fail(f"no guest can be booted here: {error}")


@pytest.fixture(scope="session", autouse=True)
def plain_host(tmp_path_factory):
    """Whatever host this is: to the default machine it has two CPUs of one cache, which is what guests have anyway."""
    from tasks.host import default_machine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(default_machine, "SYS", sysfs(tmp_path_factory.mktemp("sys"), [[0], [1]], [[0, 1]]))
        yield


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

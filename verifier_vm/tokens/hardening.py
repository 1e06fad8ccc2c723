# SPDX-License-Identifier: Apache-2.0
"""What a process of ours does first that has to be left alone by others of its user."""

from __future__ import annotations

import ctypes
import os
import resource

PR_SET_DUMPABLE = 4


def harden() -> None:
    """No core file, and no other process of this user may read our memory, trace us or take our files (root may)."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)

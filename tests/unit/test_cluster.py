# SPDX-License-Identifier: Apache-2.0
"""What a SIGKILLed run left of Ray is removed by the next; what belongs to a living one, or to nobody, stays."""

from __future__ import annotations

import os

from tasks.fleet.cluster import SCRATCH, sweep


def test_only_scratch_of_dead_processes_is_swept(tmp_path):
    dead, alive, other = f"{SCRATCH}4194399-ab", f"{SCRATCH}{os.getpid()}-ab", f"{SCRATCH}notes"
    for name in (dead, alive, other):
        (tmp_path / name / "sockets").mkdir(parents=True)
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {alive, other}

# SPDX-License-Identifier: Apache-2.0
"""A real failure made small, repeated to the bit by its command, and met by the policies of that name ever after."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.vm
POLICIES = Path(__file__).parent.parent / "policies"
SCHEDCP = Path(sys.executable).parent / "schedcp"


def test_a_failure_is_made_small_repeats_and_is_kept(guest, tmp_path):
    env = {**os.environ, "SCHEDCP_DATA_DIR": str(tmp_path / "data"), "PYTHONPATH": str(Path(__file__).parents[2])}

    def verify(file: Path, *more: str) -> tuple[int, dict]:
        words = [SCHEDCP, "verify", file, "--json", *more]
        done = subprocess.run(words, capture_output=True, text=True, env=env, timeout=300, check=False)
        return done.returncode, json.loads(done.stdout)

    bad = POLICIES / "f13_queue_by_pid_fails.bpf.c"
    status, found = verify(bad, "--minimize")
    assert status == 3 and found["smallest"] and len(found["smallest"].split()[0].split("+")) == 1
    first, second = (verify(bad, "--only", found["smallest"])[1] for _ in range(2))
    assert first["rejection"] == second["rejection"] and first["rejection"]["code"] == found["rejection"]["code"]

    # Drawn is who runs and who waits; the smallest situation above may starve the very process that would tell it.
    queued = (POLICIES / "f03_turn_fails.bpf.c", "--only", "W4 cpus=2")
    drawn = verify(*queued, "--plots", str(tmp_path / "plots"))[1]["pictures"]
    assert set(drawn) == {"coverage", "timeline", "tasks"} and all(Path(path).stat().st_size for path in drawn.values())

    sound = tmp_path / "sound.bpf.c"
    sound.write_text((Path(__file__).parents[2] / "bpf/library/fifo.bpf.c").read_text())
    status, alone = verify(sound, "--only", found["smallest"])
    assert (status, alone["accepted"], alone["token"]) == (0, True, None)  # one situation is no verdict to sign

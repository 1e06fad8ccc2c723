# SPDX-License-Identifier: Apache-2.0
"""A policy of one cgroup under a root policy: what the guest's kernel makes of it, and of its failure.

Nothing of the project uses this yet (docs/rollout.md); it is kept so that the way that was found stays one.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from bpf.toolchain import find_toolchain
from policy_lake.events import Stopped
from policy_lake.guest import GuestJob, GuestStep
from verifier_vm.machine.vm import run

pytestmark = pytest.mark.vm
PROGRAMS = Path(__file__).parent / "programs"
STALL = 1026  # SCX_EXIT_ERROR_STALL


@pytest.fixture
def files(guest, tmp_path):
    for name in ("sub_root", "sub_child"):
        clang = [find_toolchain().clang, "-target", "bpf", "-mcpu=v4", "-O2", "-g", f"-I{guest.kernel.headers}"]
        subprocess.run([*clang, "-c", PROGRAMS / f"{name}.bpf.c", "-o", tmp_path / name], check=True)
    gcc = ["gcc", "-O2", "-static", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", PROGRAMS / "sub_driver.c"]
    subprocess.run([*gcc, "-o", tmp_path / "driver", "-lbpf", "-lelf", "-lzstd", "-lz"], check=True)
    return {name: (tmp_path / name).read_bytes() for name in ("driver", "sub_root", "sub_child")}


def test_a_child_schedules_its_cgroup_and_its_stall_ends_it_alone(guest, files):
    steps = (GuestStep("start", ("driver", "/job/sub_root", "/job/sub_child")), GuestStep("rest", ("12",)))
    report = run(GuestJob(files, (*steps, GuestStep("stop"))), guest.machine)
    (ended,) = [event for event in report.events if isinstance(event, Stopped)]
    told = {k: v for line in ended.out.splitlines() if line.startswith("{") for k, v in json.loads(line).items()}
    assert (told["root"], told["child"]) == (1, 1), (ended.out, ended.err)
    assert told["before"] > 0 and told["dispatched"] > 100
    assert told["exit_kind"] == STALL and told["state"] == "enabled", "its failure was its own"
    assert told["after"] > 0.5 * told["before"], "its tasks go on under the root"

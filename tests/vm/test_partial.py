# SPDX-License-Identifier: Apache-2.0
"""The step `partial` on a real host: the chosen cgroup's tasks are SCHED_EXT, all others stay fair; and all go back."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator

import pytest
from fault_fleet import FaultHost, Shell
from skipping import skip_or_fail

from tasks.host.settings import load_settings
from tasks.hosts.reach import ask

pytestmark = [pytest.mark.vm, pytest.mark.timeout(900)]
CHOSEN = "system.slice/schedcp-workload.service"
FAIR, EXT = "0", "7"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FaultHost, Shell]]:
    if os.geteuid() != 0 or not shutil.which("mmdebstrap"):
        skip_or_fail("a host's disk is built by root, with mmdebstrap (`apt-get install mmdebstrap`)")
    made = FaultHost(load_settings(data_dir=tmp_path_factory.mktemp("partial")), 3, "schbench-light", sys.stdout.write)
    shell = None
    try:
        made.up()
        shell = Shell(made)
        yield made, shell
    finally:
        if shell:
            shell.close()
        made.down()


def test_the_chosen_cgroup_is_the_policy_s_and_nothing_else(host: tuple[FaultHost, Shell]) -> None:
    made, shell = host
    assert EXT not in shell.do("classes", cgroup=CHOSEN)["inside"]
    made.attach(mode="partial", cgroup=CHOSEN, lease=60, p99_base_s=1)
    for _ in range(2):  # the workload begins its program anew meanwhile: its children inherit the class
        seen = shell.do("classes", cgroup=CHOSEN)
        print(seen)
        assert seen["ops"].startswith("stalls") and seen["switch_all"] == "0"
        assert set(seen["inside"]) == {EXT} and EXT not in seen["outside"] and seen["outside"][FAIR] > 3, seen
        time.sleep(8)
    assert ask(made.address, "status", timeout_s=60).fields["mode"] == "partial"
    assert ask(made.address, "detach", timeout_s=60).ok
    after = shell.do("classes", cgroup=CHOSEN)
    assert EXT not in after["inside"] and EXT not in after["outside"] and not after["ops"], after


def test_when_the_agent_is_killed_the_tasks_are_fair_again(host: tuple[FaultHost, Shell]) -> None:
    made, shell = host
    made.attach(mode="partial", cgroup=CHOSEN, lease=60, p99_base_s=1)
    told = shell.do("fault", kind="agent_killed", limit_s=30)
    assert told["off"]
    shell.do("mend", kind="agent_killed")
    after = shell.do("classes", cgroup=CHOSEN)
    print(told, after)
    assert EXT not in after["inside"] and EXT not in after["outside"], after


def test_a_cgroup_that_is_none_is_refused_and_nothing_is_attached(host: tuple[FaultHost, Shell]) -> None:
    made, shell = host
    with pytest.raises(RuntimeError, match=r"bad_request.*no cgroup"):
        made.attach(mode="partial", cgroup="../../etc")
    assert not shell.do("classes", cgroup=CHOSEN)["ops"]

# SPDX-License-Identifier: Apache-2.0
"""schedcp-hold in a real guest: it attaches what the loader attaches, and detaches by itself in each of its ways."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from corpus import POLICIES

from bpf.build import compile_policy
from policy_lake.events import Stopped
from policy_lake.guest import GuestJob, GuestStep
from verifier_vm.machine.vm import run

pytestmark = pytest.mark.vm
ROOT = Path(__file__).parents[2]
WAYS = {"detach": "asked", "silence": "lease", "close": "agent", "kill": "", "term": "signal", "stop": "stop"}


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    into = tmp_path_factory.mktemp("hold")
    subprocess.run(["make", "-s", "-C", ROOT / "host_agent/hold", f"OUT={into / 'hold'}"], check=True)
    driver = [
        "gcc", "-O2", "-static", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-o", into / "driver",
        Path(__file__).parent / "programs/hold_driver.c",
    ]  # fmt: skip
    subprocess.run(driver, check=True)
    return {name: (into / name).read_bytes() for name in ("hold", "driver")}


def drive(guest, files, *runs):
    """What each run of the driver printed, an object a line.

    Each is beside a rest of 8 s: init ends a run in whose middle a policy comes or goes.
    """
    beside = [(GuestStep("start", ("driver", "/job/hold", *words)), GuestStep("rest", ("8",)), GuestStep("stop"))
              for words in runs]  # fmt: skip
    report = run(GuestJob(files, tuple(step for steps in beside for step in steps)), guest.machine)
    ended = [event for event in report.events if isinstance(event, Stopped)]
    assert len(ended) == len(runs), report.events[-1]
    return [({k: v for line in event.out.splitlines() for k, v in parsed(line).items()}, event) for event in ended]


def parsed(line):
    return dict(json.loads(line)) if line.startswith("{") else {}


def test_it_attaches_and_detaches_in_each_way_in_under_a_second(guest, programs):
    source = (ROOT / "bpf/library/vtime.bpf.c").read_text()
    built = compile_policy(source, name="a.bpf.c", vmlinux_dir=guest.kernel.headers).data
    told = drive(guest, {**programs, "p": built}, *[(way, "/job/p", "ops.timeout_ms=3000") for way in WAYS])
    for (way, reason), (said, event) in zip(WAYS.items(), told, strict=True):
        assert event.ok and said["held"] == 1, (way, event.out, event.err, event.exit, event.signal)
        assert said["off_s"] < 1.0 and said["attach_ns"] > 0, way
        assert (said["reason"] == reason and said["status"] == 0) if reason else said["status"] == 9, (way, event.out)
        print(way, said)


COUNTERS = """
u64 nr_enqueued;
u64 nr_seven = 7;
u32 nr_small = 3;
u64 other = 5;
u64 nr_Large = 6;
"""
COUNTING = """
	__sync_fetch_and_add(&nr_enqueued, 1);
	if (nr_enqueued == ~0ull)
		nr_small = nr_seven = other = nr_Large = 0;
"""


def test_a_policy_s_own_counters_are_told_by_their_names_and_no_other_variable(guest, programs):
    head, body = "void SX_OP(vtime_enqueue, struct task_struct *p, u64 enq_flags)\n{\n", "static u64 clock;"
    source = (ROOT / "bpf/library/vtime.bpf.c").read_text()
    assert head in source and body in source
    counting = source.replace(body, COUNTERS + body).replace(head, head + COUNTING)
    built = compile_policy(counting, name="a.bpf.c", vmlinux_dir=guest.kernel.headers).data
    plain = compile_policy(source, name="a.bpf.c", vmlinux_dir=guest.kernel.headers).data
    (counted, event), (none, _) = drive(
        guest, {**programs, "p": built, "q": plain}, ("count", "/job/p"), ("count", "/job/q")
    )
    assert event.ok and set(counted["values"]) == {"nr_enqueued", "nr_seven"}, (event.out, event.err)
    assert counted["values"]["nr_seven"] == 7 and counted["values"]["nr_enqueued"] > 0 and none["values"] == {}


def test_shadow_attaches_nothing_and_what_is_refused_says_why(guest, programs):
    source = (ROOT / "bpf/library/vtime.bpf.c").read_text()
    built = compile_policy(source, name="a.bpf.c", vmlinux_dir=guest.kernel.headers).data
    files = {**programs, "p": built, "junk": b"\x7fELF" + bytes(range(256)) * 40, "cut": built[: len(built) // 2]}
    runs = [("shadow", "/job/p"), ("detach", "/job/junk"), ("detach", "/job/cut"), ("detach", "/job/p", "none=1")]
    told = drive(guest, files, *runs)
    assert told[0][0]["event"] == "shadow" and told[0][0]["held"] == 0 and told[0][0]["status"] == 0
    for said, event in told[1:]:
        assert (said["event"], said["phase"], said["held"]) == ("failed", "open", 0), event
        assert said["status"] == 256 and event.err, event


def test_a_policy_that_the_kernel_ejects_leaves_its_record(guest, programs):
    (stalls,) = sorted(POLICIES.glob("f01_kept_for_ever_fails.bpf.c"))[:1]
    built = compile_policy(stalls.read_text(), name="a.bpf.c", vmlinux_dir=guest.kernel.headers).data
    ((said, event),) = drive(guest, {**programs, "p": built}, ("silence", "/job/p", "ops.timeout_ms=1000"))
    assert said["event"] in ("detached", "failed"), (event.out, event.err, event.exit, event.signal)
    print(said)

# SPDX-License-Identifier: Apache-2.0
"""The whole loop by MCP tools on real guests: observe, write, be rejected by the kernel's verifier, repair, score."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import anyio
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp_cases import told

from policy_lake.lake import Lake

pytestmark = pytest.mark.vm
SOURCE = """\
/*
 * ours - one queue, and no turn of 20 ms for who was cut off
 *
 * What: One queue for the machine, first come first served; who is alone goes on.
 */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"
#include "primitives/kthread.bpf.h"

const volatile u64 slice_ns = 5 * SX_MS; /* ns, 1000000..100000000: longest time on a CPU */

enum ours_dsq {
	OURS_QUEUE = 0,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(ours)

s32 SX_OP(ours_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, slice_ns);
}

void SX_OP(ours_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (sx_insert_woken_kthread(p, slice_ns, enq_flags))
		return;
	sx_insert(p, OURS_QUEUE, slice_ns, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(ours_dispatch, s32 cpu, struct task_struct *prev)
{
	if (!sx_move_to_local(OURS_QUEUE) && WANTS)
		sx_set_slice(prev, slice_ns);
}

void SX_OP(ours_update_idle, s32 cpu, bool idle)
{
	sx_recheck_before_idle(cpu, idle, sx_dsq_nr_queued(OURS_QUEUE) > 0);
}

s32 SX_OP_SLEEPABLE(ours_init)
{
	return sx_create_dsq(OURS_QUEUE);
}

void SX_OP_SLEEPABLE(ours_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(ours,
       .select_cpu = (void *)ours_select_cpu,
       .enqueue = (void *)ours_enqueue,
       .dispatch = (void *)ours_dispatch,
       .update_idle = (void *)ours_update_idle,
       .cpu_online = (void *)ours_cpu_online,
       .cpu_offline = (void *)ours_cpu_offline,
       .init = (void *)ours_init,
       .exit = (void *)ours_exit,
       .flags = SCX_OPS_KEEP_BUILTIN_IDLE,
       .timeout_ms = 5000);
"""
# What dispatch is given may be no task, which the kernel's verifier knows and the compiler does not.
WRITTEN = SOURCE.replace("WANTS", "(prev->scx.flags & SCX_TASK_QUEUED)")
REPAIRED = SOURCE.replace("WANTS", "prev && (prev->scx.flags & SCX_TASK_QUEUED)")


@pytest.fixture
def parameters(guest, tmp_path, monkeypatch):
    monkeypatch.setenv("SCHEDCP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    words = ["-c", "from control_plane.cli import main; main()", "mcp", "--allow-run"]
    return StdioServerParameters(command=sys.executable, args=words, env=dict(os.environ))


async def done(client, tool, **arguments):
    """What a job came to."""
    task = (await told(client, tool, **arguments))["task"]
    while task["status"] == "working":
        job = await told(client, "get_job", task_id=task["taskId"], wait_s=60)
        task = job["task"]
    assert task["status"] == "completed", job
    return job["result"]


def test_observe_write_check_be_rejected_repair_and_score(parameters, tmp_path):
    async def test():
        async with Client(stdio_client(parameters)) as client:
            observed = await done(client, "start_observe", workload="batch", size="smoke")
            assert observed["cpus"] == 2 and {one["comm"]["text"] for one in observed["commands"]} >= {"batch-long"}

            slip = WRITTEN.replace("slice_ns);\n}", "slice_ns)\n}")
            broken = await told(client, "check_source", name="ours", source=slip)
            build = next(stage for stage in broken["stages"] if stage["name"] == "build")
            assert not broken["ok"] and not build["ok"] and "expected ';'" in str(build["findings"])
            checked = await told(client, "check_source", name="ours", source=WRITTEN)
            assert checked["ok"] and [knob["name"] for knob in checked["knobs"]] == ["slice_ns"]

            rejected = await done(client, "start_verify", name="ours", source=WRITTEN)
            why = rejected["rejection"]
            assert not rejected["accepted"] and (why["stage"], why["code"]) == ("kernel", "refused_by_verifier")
            assert "trusted_ptr_or_null_" in why["reason"]["text"] + why["evidence"]["text"], why

            assert (await told(client, "check_source", name="ours", source=REPAIRED))["ok"]
            verified = await done(client, "start_verify", name="ours", source=REPAIRED)
            assert verified["accepted"] and not verified["signed"] and verified["coverage"]["lines"], verified

            score = {"workload": "batch", "size": "smoke", "pairs": 4, "name": "ours", "source": REPAIRED}
            scored = await done(client, "start_score", **score, knobs={"slice_ns": 20_000_000})
            assert scored["rejection"] is None and scored["score"]["pairs"] == 4 and scored["score"]["attached"]
            assert scored["score"]["knobs"] == {"slice_ns": 20_000_000} and scored["score"]["ratio"]["median"] > 0.5
            (known,) = (await told(client, "get_history", workload="batch", policy="ours"))["scores"]
            assert known["id"] == scored["score"]["id"]
            for answer in (observed, checked, rejected, verified, scored):
                assert str(tmp_path) not in str(answer) and str(Path.home()) not in str(answer)

    anyio.run(test)
    data = tmp_path / "data"
    assert [one.policy for one in Lake(data / "lake").scores("batch")] == ["ours"]
    assert not (data / "keys").exists() and not (data / "tokens").exists(), "nothing was signed"


def ours(tmp_path) -> list[int]:
    """The processes that have this test's data directory in their environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"SCHEDCP_DATA_DIR={tmp_path}/".encode() in (entry / "environ").read_bytes() and entry.name != str(
                os.getpid()
            ):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().partition("\0")[0]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_guest_survives_its_server(parameters, tmp_path, number):
    async def test():
        async with Client(stdio_client(parameters)) as client:
            # Minutes of work, which does not come to its own end before it is looked for.
            task = (await told(client, "start_score", policy="vtime", workload="batch", pairs=70))["task"]
            said = ""
            while " 2 runs done" not in said:
                job = await told(client, "get_job", task_id=task["taskId"])
                assert job["task"]["status"] == "working", job
                said = str(job["progress"])
                await anyio.sleep(0.2)
            alive = ours(tmp_path)
            assert any("qemu" in name_of(pid) for pid in alive), alive
            os.kill(min(alive), number)  # the server began first
            await anyio.sleep(0.5)

    try:
        anyio.run(test)
    except* Exception as broken:  # the client's: its server is gone
        assert not broken.subgroup(AssertionError), broken
    until = time.monotonic() + 20
    while (left := ours(tmp_path)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not left

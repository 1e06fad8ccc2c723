# SPDX-License-Identifier: Apache-2.0
"""The process behind check_source: warm, one check after the other, and ended when one takes too long."""

from __future__ import annotations

import subprocess
import sys

import anyio
import pytest
from leftovers import any_runs

from control_plane.mcp.checks import CHECK, Checks
from control_plane.mcp.limits import CHECKS_AT_ONCE
from policy_lake.errors import InfraError, InputError

# Answers as the source asks it to; its name says which process it was.
FAKE = """
import json, os, sys, time
for line in sys.stdin:
    source = json.loads(line)["source"]
    if source == "hang":
        time.sleep(600)
    if source == "die":
        os._exit(1)
    if source == "wrong":
        answer = {"exit_status": 2, "text": "no such knob"}
    elif source == "ill":
        answer = {"exit_status": 4, "text": "no compiler"}
    else:
        time.sleep(0.1)
        answer = {"result": {"ok": True, "name": f"p{os.getpid()}", "stages": [], "knobs": [], "object_sha256": "",
                             "seconds": 0.0}}
    print(json.dumps(answer), flush=True)
"""


def with_checks(test, **more) -> None:
    async def run():
        with anyio.fail_after(60):
            async with Checks([sys.executable, "-c", FAKE], **more) as checks:
                await test(checks)

    anyio.run(run)


async def pid(checks) -> int:
    return int((await checks.check("ok", "mine", {})).name[1:])


def test_one_process_answers_until_a_check_takes_too_long_or_ends_it():
    pids = []

    async def test(checks):
        pids.append(await pid(checks))
        assert await pid(checks) == pids[0]
        for source, words in (("hang", "the check took more than 2 s and was ended"), ("die", "gave no answer")):
            with pytest.raises(InfraError, match=words):
                await checks.check(source, "mine", {})
            pids.append(await pid(checks))

    with_checks(test, limit_s=2)
    assert len(set(pids)) == 3 and not any_runs(pids)


def test_what_is_wrong_is_an_error_of_its_kind():
    async def test(checks):
        with pytest.raises(InputError, match="no such knob"):
            await checks.check("wrong", "mine", {})
        with pytest.raises(InfraError, match="no compiler"):
            await checks.check("ill", "mine", {})

    with_checks(test)


def test_one_that_nobody_waits_for_any_more_gives_no_other_its_answer():
    async def test(checks):
        before = await pid(checks)
        with anyio.move_on_after(0.3):
            await checks.check("hang", "mine", {})
        assert await pid(checks) != before

    with_checks(test)


def test_so_many_wait_and_no_more():
    async def test(checks):
        said = []

        async def ask():
            try:
                said.append((await checks.check("ok", "mine", {})).ok)
            except InfraError as error:
                said.append(str(error))

        async with anyio.create_task_group() as group:
            for _ in range(CHECKS_AT_ONCE + 1):
                group.start_soon(ask)
        assert said == [f"{CHECKS_AT_ONCE} checks are under way: ask again in some seconds"] + [True] * CHECKS_AT_ONCE

    with_checks(test)


def test_the_real_one_ends_with_who_started_it():
    process = subprocess.Popen(CHECK, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdin.close()
    assert process.wait(60) == 0 and process.stdout.read() == b""
    process.stdout.close()

# SPDX-License-Identifier: Apache-2.0
"""The queue behind the MCP tools: one job at a time, each a process that ends when it should, with all it started."""

from __future__ import annotations

import anyio
import pytest
from leftovers import any_runs, runs
from mcp_cases import ended, until, with_jobs

from control_plane.mcp.asked import ObserveAsked, TuneAsked
from control_plane.mcp.limits import WAITING_JOBS
from policy_lake.errors import InfraError, InputError


def pids_of(job) -> list[int]:
    return [int(word) for word in job.progress[-1].text.split()]


def test_a_job_gives_its_result_and_each_step_once():
    async def test(jobs):
        heard = []
        state = jobs.start(ObserveAsked(workload="done"))
        assert (state.task.status, state.kind) == ("working", "observe")

        async def hear(step, text):
            heard.append((step, text))

        job = await jobs.wait(state.task.task_id, 30, hear)
        assert (job.task.status, job.task.status_message, job.result.profile) == ("completed", "done", "p-1")
        assert [line.text for line in job.progress] == ["one", "two", "three"]
        steps = [step for step, _ in heard]
        assert steps == sorted(set(steps)) and heard[-1][1] == "three"
        assert (await jobs.wait(state.task.task_id, 30, hear)) == job

    with_jobs(test)


@pytest.mark.parametrize(
    ("workload", "failure", "words"),
    [
        ("bad-input", "input", "workload 'x': no such thing in <path>"),
        ("bad-machine", "machine", "no guest kernel here"),
        ("dies", "lost", "a last word of <path>\n"),
        ("endless-line", "lost", "what its process said could not be taken: DelimiterNotFound"),
        ("no-json", "lost", "what its process said could not be taken: JSONDecodeError"),
        ("another-result", "lost", "what its process said could not be taken: ValidationError"),
    ],
)
def test_a_failure_says_whose_it_is_and_names_no_place(workload, failure, words):
    async def test(jobs):
        job = await ended(jobs, workload)
        assert (job.task.status, job.failure, job.error.text) == ("failed", failure, words)
        assert job.result is None
        assert (await ended(jobs, "done")).task.status == "completed", "the queue goes on"

    with_jobs(test)


def test_one_runs_and_the_others_wait_in_order_up_to_a_limit():
    async def test(jobs):
        first = jobs.start(ObserveAsked(workload="hang")).task.task_id
        await until(jobs, first, lambda job: job.progress)
        waiting = [jobs.start(ObserveAsked(workload="done")).task for _ in range(WAITING_JOBS)]
        assert [task.status_message for task in waiting] == [
            f"waiting, {before} before it" for before in range(1, WAITING_JOBS + 1)
        ]
        with pytest.raises(InfraError, match=f"^{WAITING_JOBS} jobs wait already"):
            jobs.start(ObserveAsked(workload="done"))
        assert (await jobs.cancel(waiting[0].task_id)).task.status == "cancelled"
        jobs.start(ObserveAsked(workload="done"))
        await jobs.cancel(first)
        job = await until(jobs, waiting[-1].task_id, lambda job: job.task.status != "working")
        assert job.task.status == "completed"
        assert (await until(jobs, waiting[0].task_id, lambda job: True)).task.status == "cancelled"

    with_jobs(test)


@pytest.mark.parametrize("workload", ["hang", "stubborn"])
def test_cancelling_ends_the_process_and_what_it_started(workload):
    async def test(jobs):
        task_id = jobs.start(ObserveAsked(workload=workload)).task.task_id
        pids = pids_of(await until(jobs, task_id, lambda job: job.progress))
        assert all(map(runs, pids))
        state = await jobs.cancel(task_id)
        assert (state.task.status, state.task.status_message) == ("cancelled", "cancelled")
        assert not any_runs(pids)
        assert (await jobs.cancel(task_id)).task == state.task

    with_jobs(test, ending_s=0.5)


def test_a_process_that_stays_behind_its_result_is_ended():
    async def test(jobs):
        assert (await ended(jobs, "done-and-stays")).task.status == "completed"
        assert (await ended(jobs, "done")).task.status == "completed"

    with_jobs(test, ending_s=0.3)


def test_nothing_is_left_of_a_queue_that_ends():
    pids = []

    async def test(jobs):
        task_id = jobs.start(ObserveAsked(workload="hang")).task.task_id
        jobs.start(ObserveAsked(workload="hang"))
        pids.extend(pids_of(await until(jobs, task_id, lambda job: job.progress)))

    with_jobs(test)
    assert len(pids) == 2 and not any_runs(pids)


def test_jobs_that_ended_are_kept_up_to_a_limit_and_unknown_ones_are_bad_input(monkeypatch):
    monkeypatch.setattr("control_plane.mcp.jobs.KEPT_JOBS", 2)

    async def test(jobs):
        first = (await ended(jobs, "bad-input")).task.task_id
        for _ in range(2):
            assert (await jobs.wait(first, 0, None)).task.task_id == first
            last = await ended(jobs, "bad-input")
        await until(jobs, last.task.task_id, lambda job: True)
        with anyio.fail_after(20):
            while first in jobs._jobs:  # it is forgotten once the last one's process is gone
                await anyio.sleep(0.02)
        for unknown in (first, "0" * 32):
            with pytest.raises(InputError, match="there is no such job here"):
                await jobs.wait(unknown, 0, None)

    with_jobs(test)


def test_only_a_tune_whose_planner_asks_a_model_gets_the_models_key(monkeypatch):
    monkeypatch.setenv("SCHEDCP_MODEL_API_KEY", "k")
    monkeypatch.setenv("OTHER_API_KEY", "k")

    async def test(jobs):
        for asked, seen in ((ObserveAsked, "[]"), (TuneAsked, "['SCHEDCP_MODEL_API_KEY']")):
            state = jobs.start(asked(workload="environment"))
            job = await until(jobs, state.task.task_id, lambda job: job.task.status != "working")
            assert job.progress[0].text == seen

    with_jobs(test)


def test_a_process_that_cannot_be_had_is_this_machines_failure(monkeypatch):
    async def test(jobs):
        jobs._command = ["/no/such/program"]
        job = await ended(jobs, "done")
        assert (job.task.status, job.failure, job.error.text) == ("failed", "machine", "No such file or directory")

    with_jobs(test)

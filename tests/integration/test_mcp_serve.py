# SPDX-License-Identifier: Apache-2.0
"""`schedcp mcp` as a process: over stdio, and HTTP on loopback: what it refuses, and that nothing survives its end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import anyio
import httpx
import pytest
from leftovers import any_runs, runs
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp_cases import FAKE, READ, RUN, told

from control_plane.mcp.limits import MESSAGE_BYTES
from control_plane.mcp.serve import listening
from policy_lake.errors import InfraError, InputError

PROGRAM = f"from control_plane.mcp import jobs; jobs.WORK = {FAKE!r}; from control_plane.cli import main; main()"
INITIALIZE = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}  # fmt: skip


@pytest.fixture
def words(tmp_path, monkeypatch):
    """The command line of a server with made-up jobs, in this environment."""
    monkeypatch.setenv("SCHEDCP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    return [sys.executable, "-c", PROGRAM, "mcp"]


@contextlib.contextmanager
def server(words, *more):
    """The process, ended at the end."""
    ours = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # a suite under nohup would have it ignored in the child, too
    try:
        process = subprocess.Popen(
            [*words, *more], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    finally:
        signal.signal(signal.SIGHUP, ours)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def asked(process, message: dict | bytes) -> None:
    line = message if isinstance(message, bytes) else json.dumps(message).encode()
    process.stdin.write(line + b"\n")
    process.stdin.flush()


def answered(process, id: int) -> dict:
    for line in process.stdout:
        if (message := json.loads(line)).get("id") == id:
            return message
    raise AssertionError(f"no answer: {process.stderr.read().decode()}")


def begun(process) -> None:
    asked(process, INITIALIZE)
    assert answered(process, 1)["result"]["serverInfo"]["name"] == "schedcp"
    asked(process, {"jsonrpc": "2.0", "method": "notifications/initialized"})


def called(process, id: int, tool: str, **arguments: object) -> dict:
    asked(
        process, {"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
    )
    return answered(process, id)["result"]["structuredContent"]


def hanging_job(process) -> list[int]:
    """The processes of a job that does not end."""
    task_id = called(process, 2, "start_observe", workload="hang")["task"]["taskId"]
    for id in range(3, 200):
        if job := called(process, id, "get_job", task_id=task_id)["progress"]:
            return [int(word) for word in job[-1]["text"].split()]
        time.sleep(0.1)
    raise AssertionError("it never began")


@pytest.mark.parametrize(("more", "tools"), [((), READ), (("--allow-run",), READ | RUN)])
def test_over_stdio_the_sdks_client_gets_the_tools_that_are_allowed(words, more, tools):
    async def test():
        parameters = StdioServerParameters(command=words[0], args=[*words[1:], *more], env=dict(os.environ))
        async with Client(stdio_client(parameters)) as client:
            assert {tool.name for tool in (await client.list_tools()).tools} == tools
            assert "never follow it" in client.instructions
            if more:
                state = await told(client, "start_observe", workload="done")
                job = await told(client, "get_job", task_id=state["task"]["taskId"], wait_s=60)
                assert (job["task"]["status"], job["result"]["profile"]) == ("completed", "p-1")

    anyio.run(test)


@pytest.mark.parametrize("way", ["stdin", "SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"])
def test_however_it_ends_no_job_survives(words, way):
    with server(words, "--allow-run") as process:
        begun(process)
        pids = hanging_job(process)
        assert all(map(runs, pids))
        if way == "stdin":
            process.stdin.close()
        else:
            process.send_signal(signal.Signals[way])
        status = process.wait(60)
        # Killed, it can do nothing: the job's own process sees that its starter is gone.
        assert not any_runs(pids[: 1 if way == "SIGKILL" else 2], 20)
        said = process.stderr.read().decode()
        assert (status, said.count("\n")) == {
            "stdin": (0, 0), "SIGINT": (130, 1), "SIGTERM": (143, 1), "SIGHUP": (129, 1), "SIGKILL": (-9, 0),
        }[way], said  # fmt: skip
        if way == "SIGKILL":
            subprocess.run(["kill", "-9", str(pids[1])], check=False)  # the made-up job's, which does not clear away


def test_a_call_that_waits_does_not_keep_it_from_ending(words):
    with server(words, "--allow-run") as process:
        begun(process)
        pids = hanging_job(process)
        task_id = called(process, 500, "start_observe", workload="done")["task"]["taskId"]
        params = {"name": "get_job", "arguments": {"task_id": task_id, "wait_s": 60}}
        asked(process, {"jsonrpc": "2.0", "id": 501, "method": "tools/call", "params": params})
        time.sleep(0.5)
        process.stdin.close()
        assert process.wait(60) == 0 and not any_runs(pids, 20)


def test_what_is_no_message_is_borne_and_what_is_too_long_ends_it(words):
    deep = b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    with server(words) as process:
        for line in (b"", b"{}", b"\xff\xfe\0", b"[" * 100_000, deep, b'{"jsonrpc":"2.0","id":1e999}', b"null"):
            asked(process, line)
        begun(process)
        padded = json.dumps({"jsonrpc": "2.0", "id": 8, "method": "ping"}).encode()
        asked(process, padded + b" " * (MESSAGE_BYTES - len(padded)))
        assert "result" in answered(process, 8)
        with pytest.raises(BrokenPipeError):  # it reads no further than it has to
            asked(process, b"x" * (16 << 20))
        assert process.wait(60) == 2
        assert process.stderr.read().decode().splitlines()[-1] == (
            f"schedcp: a message of more than {MESSAGE_BYTES} bytes came: the server ends"
        )


def at(process) -> str:
    """The address that an HTTP server says."""
    line = process.stderr.readline().decode()
    assert line.startswith("schedcp: MCP at http://"), line
    return line.split()[-1]


def test_over_http_the_sdks_client_works_and_strangers_are_refused(words):
    with server(words, "--allow-run", "--http", "127.0.0.1:0") as process:
        url = at(process)

        async def test():
            async with Client(url) as client:
                assert {tool.name for tool in (await client.list_tools()).tools} == READ | RUN
                state = await told(client, "start_observe", workload="done")
                heard = []

                async def hear(progress, total, message):
                    heard.append(message)

                arguments = {"task_id": state["task"]["taskId"], "wait_s": 60}
                result = await client.call_tool("get_job", arguments, progress_callback=hear)
                assert result.structured_content["task"]["status"] == "completed" and heard

        anyio.run(test)
        port = url.split(":")[2].split("/")[0]
        accept = {"accept": "application/json, text/event-stream"}
        for protocol in ({}, {"mcp-protocol-version": "2026-07-28"}):
            for headers, status in (
                ({"origin": "http://evil.example"}, 403), ({"origin": "null"}, 403),
                ({"origin": "http://127.0.0.1:1"}, 403), ({"origin": f"http://127.0.0.1:{port}.evil.example"}, 403),
                ({"host": "evil.example"}, 421), ({"host": f"evil.example:{port}"}, 421),
                ({"host": "127.0.0.1:1"}, 421), ({"content-type": "text/plain"}, 400),
            ):  # fmt: skip
                done = httpx.post(url, json=INITIALIZE, headers=accept | protocol | headers)
                assert done.status_code == status, (headers, done.text)
        assert httpx.post(url, json=INITIALIZE, headers=accept).status_code == 200
        large = httpx.post(url, content=b" " * (MESSAGE_BYTES + 1), headers={"content-type": "application/json"})
        assert large.status_code == 413
        assert httpx.get(url.replace("/mcp", "/"), timeout=10).status_code == 404


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_over_http_a_signal_ends_it_with_its_jobs_while_a_client_listens(words, number):
    with server(words, "--allow-run", "--http", "[::1]:0") as process:
        url = at(process)
        pids = []

        async def test():
            async with Client(url) as client:
                state = await told(client, "start_observe", workload="hang")
                while not pids:
                    job = await told(client, "get_job", task_id=state["task"]["taskId"])
                    pids.extend(int(word) for line in job["progress"] for word in line["text"].split())
                    await anyio.sleep(0.1)
                process.send_signal(number)
                assert await anyio.to_thread.run_sync(process.wait, 60) == 128 + number

        try:
            anyio.run(test)
        except* Exception as broken:  # the client's: its server is gone
            assert not broken.subgroup(AssertionError), broken
        assert process.poll() == 128 + number and not any_runs(pids, 20)


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:80", "10.0.0.1:7375"])
def test_what_is_not_loopback_is_refused(words, address):
    done = subprocess.run([*words, "--http", address], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"schedcp: --http {address.rpartition(':')[0].strip('[]')}: not loopback")


@pytest.mark.parametrize("address", ["", ":", "here:1", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1"])
def test_what_is_no_address_is_bad_input(address):
    with pytest.raises(InputError, match="--http"), listening(address):
        pass


def test_an_address_that_is_taken_is_this_machines_failure():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        taken = f"^--http 127.0.0.1:{port}: Address already in use$"
        with pytest.raises(InfraError, match=taken), listening(f"localhost:{port}"):
            pass


def test_what_is_read_writes_nothing_on_stdout_but_messages(words, tmp_path):
    with server(words) as process:
        begun(process)
        assert called(process, 2, "list_workloads")["workloads"]
        process.stdin.close()
        assert process.wait(60) == 0 and process.stdout.read() == b""
    assert not (tmp_path / "data").exists() and Path(words[0]).exists()

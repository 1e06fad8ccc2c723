# SPDX-License-Identifier: Apache-2.0
"""QEMU's control protocol against a QEMU that says what it likes."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from policy_lake.errors import InfraError
from verifier_vm.machine.qmp import Qmp, encode_commands, load_commands

GREETING = b'{"QMP": {"version": {}}}\n'
OK = b'{"return": {}}\n'
Answers = Callable[[str], bytes | None]


@contextlib.contextmanager
def fake_qemu(answer: Answers, greeting: bytes = GREETING) -> Iterator[tuple[socket.socket, list[dict[str, Any]]]]:
    """The near end of a QEMU that answers each command with `answer(name)` (None: hangs up), and what it was told."""
    ours, theirs = socket.socketpair()
    told: list[dict[str, Any]] = []

    def talk() -> None:
        with theirs, theirs.makefile("rb") as lines, contextlib.suppress(OSError):
            theirs.sendall(greeting)
            for line in lines:
                told.append(json.loads(line))
                said = answer(told[-1]["execute"])
                if said is None:
                    return
                theirs.sendall(said)

    thread = threading.Thread(target=talk, daemon=True)
    thread.start()
    try:
        yield ours, told
    finally:
        with contextlib.suppress(OSError):
            ours.shutdown(socket.SHUT_RDWR)
        ours.close()
        thread.join(5)
        assert not thread.is_alive()


def always(name: str, said: bytes | None, otherwise: bytes = OK) -> Answers:
    """Answers `said` to one command."""
    return lambda command: said if command == name else otherwise


def test_an_error_is_told_in_qemus_words() -> None:
    answer = always("stop", b'{"error": {"class": "GenericError", "desc": "not today"}}\n')
    with fake_qemu(answer) as (ours, _), Qmp(ours, 5) as qmp, pytest.raises(InfraError, match="stop: not today"):
        qmp.command("stop")


def test_events_between_a_command_and_its_answer_are_passed_over() -> None:
    events = b'{"event": "STOP", "data": {}}\n{"event": "MIGRATION"}\n'
    answer = always("query-status", events + b'{"return": {"running": 1}}\n')
    with fake_qemu(answer) as (ours, _), Qmp(ours, 5) as qmp:
        assert qmp.command("query-status") == {"running": 1}


@pytest.mark.parametrize("when", ["qmp_capabilities", "stop"])
def test_a_qemu_that_goes_away_is_an_infrastructure_error(when: str) -> None:
    with (
        fake_qemu(always(when, None)) as (ours, _),
        pytest.raises(InfraError, match=r"closed its control socket|went away|does not answer"),
        Qmp(ours, 5) as qmp,
    ):
        qmp.command("stop")
        qmp.command("stop")


def test_a_qemu_that_does_not_answer_is_given_up_at_the_limit() -> None:
    with fake_qemu(always("stop", b"")) as (ours, _), Qmp(ours, 0.2) as qmp, pytest.raises(InfraError, match="answer"):
        qmp.command("stop")


@pytest.mark.parametrize("line", [b"garbage\n", b"\xff\xfe{\n", b'{"return"', b"[]\n", b"7\n", b"null\n"])
def test_what_is_no_answer_is_an_infrastructure_error_in_one_line(line: bytes) -> None:
    with fake_qemu(always("stop", line)) as (ours, _), Qmp(ours, 0.3) as qmp, pytest.raises(InfraError) as error:
        qmp.command("stop")
    assert "\n" not in str(error.value)


def test_a_guest_is_saved_when_qemu_says_so_and_its_memory_stays_out() -> None:
    states = iter(["setup", "active", "completed"])

    def answer(name: str) -> bytes:
        return json.dumps({"return": {"status": next(states)} if name == "query-migrate" else {}}).encode() + b"\n"

    with fake_qemu(answer) as (ours, told), Qmp(ours, 5) as qmp:
        qmp.save(Path("/there/state"))
    names = [command["execute"] for command in told]
    assert names == ["qmp_capabilities", "migrate-set-capabilities", "migrate", *["query-migrate"] * 3]
    assert told[1]["arguments"] == {"capabilities": [{"capability": "x-ignore-shared", "state": True}]}
    assert told[2]["arguments"] == {"uri": "file:/there/state"}


@pytest.mark.parametrize("status", ["failed", "cancelled", "active"])
def test_a_guest_that_cannot_be_saved_is_told(status: str) -> None:
    said = json.dumps({"return": {"status": status}}).encode() + b"\n"
    with (
        fake_qemu(always("query-migrate", said)) as (ours, _),
        Qmp(ours, 0.3) as qmp,
        pytest.raises(InfraError, match=f"could not save the guest: {status}"),
    ):
        qmp.save(Path("/there/state"))


def test_a_guest_is_loaded_with_the_same_capability_and_in_order() -> None:
    commands = [json.loads(line) for line in encode_commands(load_commands(Path("/there/state"))).splitlines()]
    assert [c["execute"] for c in commands] == ["qmp_capabilities", "migrate-set-capabilities", "migrate-incoming"]
    assert commands[1]["arguments"]["capabilities"][0]["state"] is True
    assert commands[2]["arguments"] == {"uri": "file:/there/state"}

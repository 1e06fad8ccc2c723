# SPDX-License-Identifier: Apache-2.0
"""QEMU's control protocol against a QEMU that is a few lines on the other end of a socket."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from policy_lake.model import InfraError
from verifier_vm.qmp import Qmp, load_commands

GREETING = b'{"QMP": {"version": {}, "capabilities": []}}\n'
OK = b'{"return": {}}\n'


@contextmanager
def qemu_that_says(*answers, greeting=GREETING + OK, closes=True, limit_s=5.0):
    """A conversation in which each command after the greeting gets the next of `answers`; and what was asked."""
    ours, theirs = socket.socketpair()
    asked = []

    def act():
        with theirs, theirs.makefile("rb") as commands:
            theirs.sendall(greeting)
            if not greeting:
                return
            commands.readline()  # qmp_capabilities
            for answer in answers:
                line = commands.readline()
                if not line:
                    return
                asked.append(json.loads(line))
                theirs.sendall(answer)
            if not closes:
                commands.readline()

    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    with ours:
        yield ours, asked, limit_s
    thread.join(5)


def test_a_snapshot_is_asked_for_in_order_and_awaited(tmp_path):
    status = [b'{"return": {"status": "%s"}}\n' % word for word in (b"setup", b"active", b"completed")]
    event = b'{"event": "STOP", "data": {}, "timestamp": {"seconds": 1, "microseconds": 2}}\n'
    with (
        qemu_that_says(OK, OK, event + status[0], status[1], event + event + status[2], OK) as (ours, asked, limit),
        Qmp(ours, limit) as qmp,
    ):
        qmp.save(tmp_path / "state")
        qmp.quit()
    assert [one["execute"] for one in asked] == [
        "migrate-set-capabilities", "migrate", "query-migrate", "query-migrate", "query-migrate", "quit",
    ]  # fmt: skip
    assert asked[1]["arguments"] == {"uri": f"file:{tmp_path / 'state'}"}


def test_a_refusal_comes_in_qemus_words():
    refusal = b'{"error": {"class": "GenericError", "desc": "No such thing"}}\n'
    with qemu_that_says(refusal) as (ours, _, limit), Qmp(ours, limit) as qmp:
        with pytest.raises(InfraError, match="refuses stop: No such thing"):
            qmp.command("stop")


@pytest.mark.parametrize("how", [b"failed", b"cancelled"])
def test_a_snapshot_that_fails_is_told(how, tmp_path):
    with qemu_that_says(OK, OK, b'{"return": {"status": "%s"}}\n' % how) as (ours, _, limit), Qmp(ours, limit) as qmp:
        with pytest.raises(InfraError, match=f"could not save the guest.*{how.decode()}"):
            qmp.save(tmp_path / "state")


def test_a_snapshot_that_never_ends_is_given_up(tmp_path):
    active = [b'{"return": {"status": "active"}}\n'] * 200
    with qemu_that_says(OK, OK, *active, limit_s=0.2) as (ours, _, limit), Qmp(ours, limit) as qmp:
        with pytest.raises(InfraError, match="could not save the guest: active"):
            qmp.save(tmp_path / "state")


def test_a_closed_socket_is_told():
    with qemu_that_says() as (ours, _, limit), Qmp(ours, limit) as qmp:
        with pytest.raises(InfraError, match="closed its control socket|went away before stop|does not answer"):
            qmp.command("stop")
            qmp.command("stop")
    with qemu_that_says(greeting=b"") as (ours, _, limit), pytest.raises(InfraError), Qmp(ours, limit):
        pass


def test_a_qemu_that_is_silent_is_given_up():
    with qemu_that_says(b"", closes=False, limit_s=0.1) as (ours, _, limit), Qmp(ours, limit) as qmp:
        with pytest.raises(InfraError, match="does not answer"):
            qmp.command("stop")


@pytest.mark.parametrize("line", [b"not json\n", b"\xff\xfe\n", b"[1]\n", b'"error"\n', b"3\n", b'{"error": "no"}\n'])
def test_garbage_is_an_infrastructure_error_in_one_line(line):
    with qemu_that_says(line) as (ours, _, limit), Qmp(ours, limit) as qmp:
        with pytest.raises(InfraError) as error:
            qmp.command("stop")
    assert "\n" not in str(error.value)
    with qemu_that_says(greeting=line) as (ours, _, limit), pytest.raises(InfraError), Qmp(ours, limit):
        pass


def test_what_restores_a_guest_is_whole_lines_of_json():
    lines = load_commands(Path("/a/state")).splitlines()
    assert [json.loads(line)["execute"] for line in lines] == [
        "qmp_capabilities", "migrate-set-capabilities", "migrate-incoming",
    ]  # fmt: skip
    assert json.loads(lines[2])["arguments"] == {"uri": "file:/a/state"}

# SPDX-License-Identifier: Apache-2.0
"""`schedcp stop`: one host that is mistyped, silent or refuses keeps no other running, and is told as what it is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from control_plane import rollout as command
from control_plane.rollout import stop_command
from policy_lake.errors import InputError
from tasks.host.settings import load_settings
from tasks.hosts.reach import Answer, UnreachableError

SILENT, BUSY, NOWHERE = "silent", "busy", "nowhere"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hosts that were asked to stop."""
    seen: list[str] = []

    def channel_of(host: str, settings: Any) -> Any:
        if host.startswith(NOWHERE):
            raise InputError(f"host '{host}': there is none")

        def ask(request: str, **fields: Any) -> Answer:
            seen.append(host)
            if host == SILENT:
                raise UnreachableError(f"host {host}: cannot be reached (Connection refused)")
            return Answer(host != BUSY, "busy" * (host == BUSY), "later" * (host == BUSY), {"was_attached": True})

        return host, ask

    monkeypatch.setattr(command, "channel_of", channel_of)
    return seen


@pytest.mark.parametrize(
    ("hosts", "status"),
    [
        (["web", "db"], 0), ([NOWHERE, "web"], 2), (["web", NOWHERE, "db"], 2), ([SILENT, "web"], 4),
        ([BUSY, "web"], 4), ([NOWHERE, SILENT, "web"], 4),
    ],
)  # fmt: skip
def test_all_that_can_be_reached_are_stopped(hosts, status, asked, capsys):
    assert stop_command(hosts, "r", load_settings(), as_json=True) == status
    told = {one["host"]: one["stopped"] for one in json.loads(capsys.readouterr().out)["hosts"]}
    assert told == {host: host not in (SILENT, BUSY, NOWHERE) for host in hosts}
    assert sorted(asked) == sorted(set(hosts) - {NOWHERE})


def test_names_of_which_none_is_right_are_bad_input(asked):
    with pytest.raises(InputError, match=r"'nowhere': there is none; host 'nowhere-2': there is none"):
        stop_command([NOWHERE, f"{NOWHERE}-2"], "r", load_settings(), as_json=False)
    assert not asked


@pytest.mark.parametrize("host", [SILENT, BUSY])
def test_a_host_that_did_not_stop_is_told_once_and_with_what_to_do_there(host, asked, capsys):
    assert stop_command([host], "r", load_settings(), as_json=False) == 4
    line = capsys.readouterr().out
    assert "NOT stopped" in line and "touch /etc/schedcp/stop" in line
    assert line.count(f"host {host}") == 1 and line.startswith(f"host {host}: ")
    assert ("a promoted policy stays" in line) == (host == SILENT)

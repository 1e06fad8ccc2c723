# SPDX-License-Identifier: Apache-2.0
"""The environment of Ray and Prefect, where Ray's scratch lies, and whether an address is one of a cluster."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from policy_lake.errors import InfraError, InputError
from tasks.fleet import cluster, environment
from tasks.fleet.reach import PREFACE, check_ray

ROOT = Path(__file__).parents[2]


def test_the_environment_is_filled_where_the_user_has_set_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(environment, "os", SimpleNamespace(environ={"DO_NOT_TRACK": "0", "RAY_ADDRESS": ""}))
    monkeypatch.setattr(environment.Path, "home", lambda: tmp_path)
    environ = environment.os.environ
    environment.prepare_environment()
    assert environ["DO_NOT_TRACK"] == "0" and environ["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    token = environ["RAY_AUTH_TOKEN"]
    assert (environ["RAY_AUTH_MODE"], len(token), environ["RAY_USAGE_STATS_ENABLED"]) == ("token", 64, "0")
    environment.prepare_environment()
    assert environ["RAY_AUTH_TOKEN"] == token, "called again it changes nothing"


@pytest.mark.parametrize(
    ("given", "file", "made"),
    [
        ({}, False, {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"}),
        ({"RAY_ADDRESS": "local"}, False, {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"}),
        ({"RAY_AUTH_TOKEN": "t"}, False, {"RAY_AUTH_MODE"}),
        ({"RAY_AUTH_TOKEN_PATH": "/t"}, False, {"RAY_AUTH_MODE"}),
        ({"RAY_AUTH_MODE": "none"}, False, {"RAY_AUTH_MODE"}),
        ({"RAY_ADDRESS": "h:1"}, False, set()),
        ({"RAY_ADDRESS": "h:1"}, True, {"RAY_AUTH_MODE"}),
        ({"RAY_ADDRESS": "h:1", "RAY_AUTH_TOKEN": "t"}, False, {"RAY_AUTH_MODE"}),
    ],
)
def test_a_cluster_of_our_own_has_a_token_and_one_that_is_joined_its_own(
    given: dict[str, str], file: bool, made: set[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(environment, "os", SimpleNamespace(environ=given))
    monkeypatch.setattr(environment.Path, "home", lambda: tmp_path)
    if file:
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray/auth_token").write_text("t")
    assert {name for name in environment._ray() if name.startswith("RAY_AUTH")} == made
    assert environment.joins_a_cluster() is ("h:1" in given.values())


# One thread imports the package, as Prefect does, the other its module, as Ray does, somewhere in the middle of that.
AT_ONCE = """
import importlib, os, sys, threading, time
import pydantic
from tasks.fleet.environment import prepare_environment
prepare_environment()
threading.excepthook = lambda told: (print(repr(told.exc_value), file=sys.stderr), os._exit(1))
one = threading.Thread(target=importlib.import_module, args=("pydantic.v1",))
one.start()
time.sleep(float(sys.argv[1]))
importlib.import_module("pydantic.v1.fields").ModelField
one.join()
"""


@pytest.mark.parametrize("delay_s", ["0.001", "0.004", "0.01"])
def test_what_prefect_and_ray_both_import_in_a_circle_is_there_before_any_thread(delay_s: str) -> None:
    command = [sys.executable, "-c", AT_ONCE, delay_s]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_prefect_s_page_shows_our_own_lines() -> None:
    assert environment.PREFECT["PREFECT_LOGGING_EXTRA_LOGGERS"] == cluster.log.name.partition(".")[0] == "tasks"


def test_scratch_lies_where_a_socket_s_path_is_short_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    for usual, place in (("/" + "a" * 13, "/" + "a" * 13), ("/" + "a" * 14, "/tmp")):
        monkeypatch.setattr(cluster.tempfile, "gettempdir", lambda usual=usual: usual)
        assert cluster._short_directory() == place


def test_an_address_is_tried_before_ray_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[Any] = []

    class Connection:
        def __init__(self, answer: bytes) -> None:
            self.answer = answer

        def __enter__(self) -> Connection:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def sendall(self, data: bytes) -> None:
            assert data == PREFACE

        def recv(self, most: int) -> bytes:
            return self.answer[:most]

    def connect(where: tuple[str, int], *, timeout: float) -> Connection:
        met.append(where)
        if where[1] == 9:
            raise ConnectionRefusedError("refused")
        return Connection(b"HTTP/1.1 200" if where[1] == 80 else bytes((0, 0, 0, 4, 0)))

    monkeypatch.setattr(socket, "create_connection", connect)
    check_ray("ray://host:10001")
    check_ray("[::1]:6379")
    check_ray("auto")
    assert met == [("host", 10001), ("::1", 6379)]
    for bad in ("host", ":6379", "host:x", "host:65536"):
        with pytest.raises(InputError, match="not a HOST:PORT"):
            check_ray(bad)
    with pytest.raises(InfraError, match="no Ray cluster can be reached"):
        check_ray("host:9")
    with pytest.raises(InfraError, match="is no Ray cluster"):
        check_ray("host:80")

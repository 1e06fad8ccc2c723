# SPDX-License-Identifier: Apache-2.0
"""Real hosts: brought up, reached over TLS alone, restarted with their state, cut off, killed, ended."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from fleet_cases import end_all
from skipping import skip_or_fail

from tasks.host.settings import Settings, load_settings
from tasks.hosts import fleet, process
from tasks.hosts.host import connected, set_network
from tasks.hosts.places import address_of, host_directory
from tasks.hosts.reach import UnreachableError, ask
from tasks.hosts.records import FleetOrder
from verifier_vm.machine.host_line import CONSOLE

pytestmark = pytest.mark.vm
HOSTS = int(os.environ.get("FLEET_HOSTS", "1"))
ORDER = FleetOrder("test", HOSTS, 2, 512, "wakeup", "wall")
LOOK_S = 60.0


def say(text: str) -> None:
    """What goes on, for whoever reads a failure."""
    sys.stdout.write(f"{time.monotonic():.1f} {text}\n")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, fleet.FleetStatus]]:
    """A fleet of this test's own, ended whatever happens; its directory's path is longer than a socket's may be."""
    if os.geteuid() != 0 or not shutil.which("mmdebstrap"):
        skip_or_fail("a host's disk is built by root, with mmdebstrap (`apt-get install mmdebstrap`)")
    settings = load_settings(data_dir=tmp_path_factory.mktemp("x" * 100))
    try:
        yield settings, fleet.up(ORDER, settings, say)
    finally:
        end_all(settings)


def said(settings: Settings, host: str, command: str, end: str) -> str:
    """What a host's root shell prints after a command, up to `end`."""
    with connected(host_directory(host, settings), CONSOLE) as console:
        console.sendall(f"\n{command}\n".encode())
        limit, text = time.monotonic() + LOOK_S, b""
        while end.encode() not in text and time.monotonic() < limit:
            console.settimeout(max(0.1, limit - time.monotonic()))
            text += console.recv(1 << 16)
    return text.decode("utf-8", "replace")


@pytest.mark.timeout(900)
def test_every_host_is_up_and_runs_its_load(up) -> None:
    settings, found = up
    assert found.whole and len(found.hosts) == HOSTS
    for host in found.hosts:
        say(f"{host.host}: booted in {host.boot_s:.1f} s, {host.memory_mib} MiB; all in {found.seconds:.0f} s")
        assert 0 < host.boot_s < 120 and 100 < host.memory_mib < 1200
        assert host.port and ask(address_of(host.host, settings), "status").ok
    name = found.hosts[0].host
    shown = said(
        settings, name, "until cat /run/schedcp-workload/p99_us; do sleep 1; done; uname -r; echo en''d", "end\r\n"
    )
    assert "cloud-amd64" in shown and name in shown


def test_it_is_reached_by_tls_alone_and_only_from_this_machine(up) -> None:
    _, found = up
    port = found.hosts[0].port
    with socket.create_connection(("127.0.0.1", port), 10) as plain:
        plain.settimeout(LOOK_S)
        plain.sendall(b'{"v":1,"req":"status","id":"a"}\n')
        answered = b""
        while piece := plain.recv(1 << 16):
            answered += piece
    assert b'"ok"' not in answered
    listening = subprocess.run(["ss", "-ltnH", f"sport = :{port}"], capture_output=True, text=True, check=False).stdout
    assert not listening or listening.split()[3] == f"127.0.0.1:{port}"


def test_the_network_can_be_cut_and_mended(up) -> None:
    settings, found = up
    place, address = host_directory(found.hosts[0].host, settings), address_of(found.hosts[0].host, settings)
    set_network(place, up=False)
    with pytest.raises(UnreachableError):
        ask(address, "status", timeout_s=3)
    set_network(place, up=True)
    assert ask(address, "status", timeout_s=LOOK_S).ok


@pytest.mark.timeout(900)
def test_what_a_host_wrote_is_there_after_a_restart(up) -> None:
    settings, found = up
    name = found.hosts[0].host
    assert "kept" in said(settings, name, "echo kept-$((40 + 2)) >/var/lib/marker; cat /var/lib/marker", "kept-42\r\n")
    after = fleet.restart(name, settings, say)
    assert after.state == "up" and after.pid != found.hosts[0].pid and after.port == found.hosts[0].port
    assert "kept-42" in said(settings, name, "cat /var/lib/marker", "kept-42\r\n")
    first = ask(address_of(name, settings), "status")
    assert first.ok


@pytest.mark.timeout(900)
def test_one_that_is_killed_is_told_and_up_brings_it_back_with_its_journal_replayed(up) -> None:
    settings, found = up
    name = found.hosts[0].host
    running = process.find(host_directory(name, settings))
    os.kill(running.pid, signal.SIGKILL)
    assert process.await_end(running, 10)
    assert fleet.status("test", settings).hosts[0].state == "stopped"
    assert fleet.up(ORDER, settings, say).whole
    assert "kept-42" in said(settings, name, "cat /var/lib/marker", "kept-42\r\n")


def test_down_leaves_no_process_and_no_file(up) -> None:
    settings, _ = up
    running = [process.find(host_directory(host, settings)) for host in ORDER.host_names]
    assert fleet.down("test", settings) == HOSTS
    assert all(one and process.await_end(one, 0.0) for one in running)
    assert not (settings.data_dir / "fleet" / "test").exists() and end_all(settings) == []

# SPDX-License-Identifier: Apache-2.0
"""A fleet's state: brought up whole or not at all, told whatever was killed or damaged meanwhile, always ended."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fleet_cases import ORDER, FakeHosts, end_all, fake_fleet, unreachable

from policy_lake.errors import InfraError, InputError
from policy_lake.files import locked
from tasks.host.places import clean
from tasks.host.settings import Settings
from tasks.hosts import fleet, host, image, means, process
from tasks.hosts.places import address_of, fleet_directory, host_directory
from tasks.hosts.reach import Answer
from tasks.hosts.records import DamagedError, FleetOrder, HostFile, clock_of, read_host, read_order, write_host

TESTS = Path(__file__).parents[1]


def quiet(text: str) -> None:
    """Progress that nobody hears."""


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[Settings, FakeHosts]]:
    settings, fakes = fake_fleet(monkeypatch, tmp_path)
    yield settings, fakes
    end_all(settings)


def place(settings: Settings, name: str = "fleet-1") -> Path:
    return settings.data_dir / "fleet" / "fleet" / name


def states(settings: Settings) -> list[str]:
    return [found.state for found in fleet.status("fleet", settings).hosts]


def test_up_starts_each_host_with_a_disk_and_a_port_of_its_own_and_down_leaves_nothing(hosts) -> None:
    settings, _ = hosts
    found = fleet.up(ORDER, settings, quiet)
    assert [one.host for one in found.hosts] == ["fleet-1", "fleet-2"] and found.whole and found.seconds > 0
    assert len({one.port for one in found.hosts}) == len({one.pid for one in found.hosts}) == 2
    assert {one.boot_s for one in found.hosts} == {12.34} and {one.agent for one in found.hosts} == {"idle"}
    assert place(settings).stat().st_mode & 0o077 == 0
    assert (place(settings) / "disk.raw").read_bytes() == b"d" * 4096
    assert fleet.down("fleet", settings) == 2
    assert not place(settings).parent.exists() and end_all(settings) == []
    with pytest.raises(InputError, match="there is none"):
        fleet.down("fleet", settings)


def test_up_again_starts_only_what_does_not_run_and_keeps_its_disk_and_port(hosts) -> None:
    settings, fakes = hosts
    first = fleet.up(ORDER, settings, quiet)
    (place(settings, "fleet-2") / "disk.raw").write_bytes(b"written by the host")
    process.end(process.find(place(settings, "fleet-2")))
    assert states(settings) == ["up", "stopped"]
    second = fleet.up(ORDER, settings, quiet)
    assert second.hosts[0].pid == first.hosts[0].pid and second.hosts[1].pid != first.hosts[1].pid
    assert second.hosts[1].port == first.hosts[1].port
    assert (place(settings, "fleet-2") / "disk.raw").read_bytes() == b"written by the host"
    assert len(fakes.given["fleet-1"]) == 1 and len(fakes.given["fleet-2"]) == 2


def test_another_order_for_a_fleet_that_is_there_is_refused_with_what_it_is(hosts) -> None:
    settings, _ = hosts
    fleet.up(ORDER, settings, quiet)
    with pytest.raises(InputError, match="it is 2 hosts of 2 CPUs and 512 MiB with workload batch, wall clock"):
        fleet.up(replace(ORDER, hosts=3), settings, quiet)
    assert states(settings) == ["up", "up"]


def test_what_is_to_be_trusted_is_given_with_the_first_start_alone(hosts, tmp_path: Path) -> None:
    settings, fakes = hosts
    (tmp_path / "trust").mkdir()
    (tmp_path / "trust" / "signing.pub").write_text("key")
    fleet.up(replace(ORDER, hosts=1), settings, quiet, trust=tmp_path / "trust")
    fleet.restart("fleet-1", settings, quiet)
    fleet.down("fleet", settings, keep=True)
    fleet.up(replace(ORDER, hosts=1), settings, quiet, trust=tmp_path / "trust")
    assert [json.loads(given) for given in fakes.given["fleet-1"]] == [["etc/schedcp/trust/signing.pub"], [], []]
    with pytest.raises(InputError, match="nowhere: cannot be read"):
        fleet.up(ORDER, settings, quiet, trust=tmp_path / "nowhere")


def test_down_that_keeps_leaves_disks_for_the_next_up(hosts) -> None:
    settings, _ = hosts
    fleet.up(ORDER, settings, quiet)
    (place(settings) / "disk.raw").write_bytes(b"mine")
    assert fleet.down("fleet", settings, keep=True) == 2
    assert states(settings) == ["stopped", "stopped"] and end_all(settings) == []
    assert fleet.up(ORDER, settings, quiet).whole and (place(settings) / "disk.raw").read_bytes() == b"mine"


def test_restart_is_another_process_with_the_same_disk_and_port(hosts) -> None:
    settings, _ = hosts
    before = fleet.up(ORDER, settings, quiet).hosts[0]
    (place(settings) / "disk.raw").write_bytes(b"mine")
    after = fleet.restart("fleet-1", settings, quiet)
    assert after.state == "up" and after.pid != before.pid and after.port == before.port
    assert (place(settings) / "disk.raw").read_bytes() == b"mine"
    with pytest.raises(InputError, match="there are fleet-1, fleet-2"):
        fleet.restart("fleet-3", settings, quiet)
    with pytest.raises(InputError, match="a host's name is that of its fleet and a number"):
        fleet.restart("../etc", settings, quiet)


@pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit, InfraError])
@pytest.mark.parametrize("moment", ["making its disk", "booting"])
def test_an_up_that_is_cut_short_leaves_nothing_of_its_own(hosts, ending: type[BaseException], moment: str) -> None:
    settings, fakes = hosts
    fakes.commands[""] = ["sleep", "60"]  # never up

    def say(text: str) -> None:
        if moment in text and (moment == "booting" or text.startswith("fleet-2")):
            raise ending

    with pytest.raises(ending):
        fleet.up(ORDER, settings, say)
    assert end_all(settings) == [] and not place(settings).parent.exists()


def test_an_up_of_an_old_fleet_that_is_cut_short_ends_only_what_it_started(hosts) -> None:
    settings, fakes = hosts
    fleet.up(ORDER, settings, quiet)
    process.end(process.find(place(settings, "fleet-2")))
    fakes.commands[""] = ["sleep", "60"]

    def say(text: str) -> None:
        if text.startswith("booting"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fleet.up(ORDER, settings, say)
    assert states(settings) == ["up", "stopped"] and (place(settings, "fleet-2") / "disk.raw").exists()


def test_a_host_that_dies_while_it_boots_is_said_in_qemus_words(hosts) -> None:
    settings, fakes = hosts
    fakes.commands[""] = ["sh", "-c", "sleep 0.3; echo qemu: no good >&2; exit 1"]
    with pytest.raises(InfraError, match="host fleet-1: QEMU ended: qemu: no good"):
        fleet.up(ORDER, settings, quiet)
    assert not place(settings).parent.exists()


def test_a_host_that_is_never_up_is_given_up(hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, fakes = hosts
    monkeypatch.setattr(fleet, "BOOT_S", 0.5)
    fakes.agent = unreachable
    with pytest.raises(InfraError, match=r"host fleet-1: not up after 0 s \(silent; host fleet-1: cannot be reached"):
        fleet.up(ORDER, settings, quiet)
    assert end_all(settings) == []


KILLED = """
    import os, signal, sys
    from pathlib import Path
    import pytest
    sys.path.insert(0, {tests!r})
    from fleet_cases import ORDER, fake_fleet
    from tasks.hosts import fleet
    with pytest.MonkeyPatch.context() as patch:
        settings, fakes = fake_fleet(patch, Path({top!r}))
        fakes.commands[""] = ["sh", "-c", "sleep 0.5; echo 12.34 >ready; exec sleep 60"]
        def say(text):
            if text.startswith({moment!r}):
                os.kill(os.getpid(), signal.SIGKILL)
        fleet.up(ORDER, settings, say)
"""


@pytest.mark.parametrize(
    ("moment", "expected"),
    [("fleet-1", ["absent", "absent"]), ("fleet-2", ["up", "absent"]), ("booting", ["up", "up"])],
)
def test_an_up_that_is_killed_leaves_what_status_tells_up_finishes_and_down_ends(
    hosts, tmp_path: Path, moment: str, expected: list[str]
) -> None:
    settings, _ = hosts
    code = textwrap.dedent(KILLED).format(tests=str(TESTS), top=str(tmp_path), moment=moment)
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    limit = time.monotonic() + 5
    while states(settings) != expected and time.monotonic() < limit:
        time.sleep(0.05)
    assert states(settings) == expected
    assert fleet.up(ORDER, settings, quiet).whole
    assert fleet.down("fleet", settings) == 2 and end_all(settings) == []


def test_a_port_that_is_taken_meanwhile_is_changed_for_another(hosts) -> None:
    settings, _ = hosts
    before = fleet.up(ORDER, settings, quiet).hosts[0]
    fleet.down("fleet", settings, keep=True)
    with socket.create_server(("127.0.0.1", before.port)):
        after = fleet.up(ORDER, settings, quiet).hosts[0]
    assert after.state == "up" and after.port != before.port
    assert address_of("fleet-1", settings).port == after.port == read_host(place(settings)).port


def test_each_state_is_told_with_why(hosts) -> None:
    settings, fakes = hosts
    fleet.up(ORDER, settings, quiet)
    fakes.agent = unreachable
    assert states(settings) == ["silent", "silent"]
    fakes.agent = lambda name: Answer(False, "unknown", "no\x1b[2J", {})
    found = fleet.status("fleet", settings).hosts[0]
    assert found.state == "silent" and found.message == "its agent refuses: unknown: no\\x1b[2J"
    fakes.agent = lambda name: Answer(True, "", "", {"status": ["odd"]})
    assert fleet.status("fleet", settings).hosts[0].agent == ""
    for said in (b"", b"soon\n", b"1e9\n", b"12.34 more\n", b"x" * 100):
        (place(settings) / "ready").write_bytes(said)
        assert states(settings)[0] == "booting"
    (place(settings) / "host.json").unlink()
    assert fleet.status("fleet", settings).hosts[0].message == "it runs, and its file is gone"


GOOD_HOST = {"format": 1, "name": "fleet-1", "port": 5000, "kernel": "k", "initrd": "i", "cpus": 2, "memory_mib": 512,
             "accel": "tcg", "clock": "", "used": True}  # fmt: skip


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "not JSON"), (b"{", "not JSON"), (b"[]", "not a JSON object"), (b"[" * 100_000, "larger than|not JSON"),
        (json.dumps({**GOOD_HOST, "format": 2}).encode(), "field 'format': 2"),
        (json.dumps({**GOOD_HOST, "port": 0}).encode(), "field 'port': 0 is no port"),
        (json.dumps({**GOOD_HOST, "port": 65536}).encode(), "field 'port': 65536 is no port"),
        (json.dumps({**GOOD_HOST, "port": "5000"}).encode(), "field 'port' must be of type int"),
        (json.dumps({**GOOD_HOST, "name": "fleet-2"}).encode(), "in the directory of fleet-1"),
        (json.dumps({**GOOD_HOST, "used": 1}).encode(), "field 'used'"),
    ],
)  # fmt: skip
def test_a_damaged_host_file_is_told_and_does_not_keep_the_fleet_up(hosts, content: bytes, fault: str) -> None:
    settings, _ = hosts
    fleet.up(ORDER, settings, quiet)
    (place(settings) / "host.json").write_bytes(content)
    found = fleet.status("fleet", settings).hosts
    assert [one.state for one in found] == ["damaged", "up"] and found[0].pid
    with pytest.raises(DamagedError, match=fault):
        read_host(place(settings))
    with pytest.raises(DamagedError, match=fault):
        fleet.restart("fleet-1", settings, quiet)
    assert fleet.down("fleet", settings) == 2 and end_all(settings) == []


def test_a_damaged_order_is_told_and_does_not_keep_the_fleet_up(hosts) -> None:
    settings, _ = hosts
    fleet.up(ORDER, settings, quiet)
    file = place(settings).parent / "fleet.json"
    good = json.loads(file.read_text())
    for change, fault in (({"hosts": 17}, "hosts: 17"), ({"clock": "sun"}, "clock 'sun'"), ({"cpus": None}, "'cpus'"),
                          ({"name": "../x"}, "name '../x'")):  # fmt: skip
        file.write_text(json.dumps({**good, **change}))
        with pytest.raises(DamagedError, match=fault):
            fleet.status("fleet", settings)
        with pytest.raises(DamagedError, match=fault):
            fleet.up(ORDER, settings, quiet)
    assert fleet.down("fleet", settings) == 2 and end_all(settings) == []


def test_what_was_written_is_what_is_read(tmp_path: Path) -> None:
    known = HostFile("fleet-1", 5000, "k", "i", 2, 512, "kvm", "c", True)
    write_host(tmp_path / "fleet-1", known)
    assert read_host(tmp_path / "fleet-1") == known
    assert read_host(tmp_path / "fleet-2") is None and read_order(tmp_path) is None


def test_a_full_disk_is_one_line_and_leaves_nothing(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings, _ = fake_fleet(monkeypatch, tmp_path_factory.mktemp("base"), base_bytes=3 << 20)
    settings = settings.model_copy(update={"data_dir": small_disk / "data"})
    with pytest.raises(InfraError, match=r"host fleet-2: its disk cannot be made: .*No space left on device"):
        fleet.up(ORDER, settings, quiet)
    assert end_all(settings) == [] and not place(settings).parent.exists()


def test_too_little_room_is_said_before_anything_begins(hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, _ = hosts
    monkeypatch.setattr(means, "_available_mib", lambda: 1023)
    with pytest.raises(InputError, match="2 hosts of 512 MiB are more than the 1023 MiB that are available"):
        fleet.up(ORDER, settings, quiet)
    monkeypatch.setattr(means, "_available_mib", lambda: 1024)
    monkeypatch.setattr(means, "DISK_MIB", 1 << 40)
    with pytest.raises(InfraError, match="MiB free, and 2 hosts have disks of"):
        fleet.up(ORDER, settings, quiet)
    assert not place(settings).parent.exists()


def test_two_commands_at_one_fleet_are_kept_apart(hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, _ = hosts
    fleet.up(ORDER, settings, quiet)
    monkeypatch.setattr("tasks.hosts.places.LOCK_S", 0.1)
    with (
        locked(place(settings).parent.with_name(".fleet.lock")),
        pytest.raises(InfraError, match="fleet fleet: another"),
    ):
        fleet.down("fleet", settings)
    assert states(settings) == ["up", "up"]


@pytest.mark.parametrize("name", ["", "Fleet", "a-b", "../x", "a" * 25, "1a", "ä"])
def test_a_name_that_could_be_a_path_or_no_certificates_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="a fleet's name has small letters"):
        FleetOrder(name, 1, 1, 512, "batch", "wall")
    with pytest.raises(InputError, match="a fleet's name has small letters"):
        fleet_directory(name, Settings(data_dir=tmp_path))
    with pytest.raises(InputError, match=r"no hosts of fleet a|a host's name"):
        host_directory(f"{name}-1" if name != "a-b" else "a-1", Settings(data_dir=tmp_path))


def test_clean_leaves_a_fleet_that_runs_and_removes_one_that_does_not(hosts) -> None:
    settings, _ = hosts
    fleet.up(ORDER, settings, quiet)
    (settings.data_dir / "lake").mkdir()
    cleaned = clean(settings, everything=True, stay=fleet.running_fleets(settings))
    assert [(kept.path.name, "`schedcp fleet down --name fleet`" in kept.why) for kept in cleaned.kept] == [
        ("fleet", True)
    ]
    assert not (settings.data_dir / "lake").exists() and states(settings) == ["up", "up"]
    fleet.down("fleet", settings, keep=True)
    clean(settings, everything=True, stay=fleet.running_fleets(settings))
    assert not place(settings).parent.exists()


def test_a_restart_takes_the_kernel_that_there_is_now(hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, _ = hosts
    before = fleet.up(ORDER, settings, quiet).hosts[0]
    other = HostFile("", 0, "another kernel", "i", 2, 512, "tcg", "")
    monkeypatch.setattr(fleet, "host_machine", lambda order, settings, say: other)
    fleet.restart("fleet-1", settings, quiet)
    assert read_host(place(settings)) == replace(other, name="fleet-1", port=before.port, used=True)


def test_an_order_holds_its_limits() -> None:
    for change in ({"hosts": 0}, {"hosts": 17}, {"cpus": 65}, {"memory_mib": 383}, {"work": "x" * 5000}):
        with pytest.raises(InputError):
            replace(ORDER, **change)
    with pytest.raises(InputError, match="not one of wall, virtual"):
        clock_of("sun")


def test_a_host_without_its_disk_is_not_started(hosts) -> None:
    settings, _ = hosts
    fleet.up(ORDER, settings, quiet)
    fleet.down("fleet", settings, keep=True)
    (place(settings) / "disk.raw").unlink()
    with pytest.raises(InfraError, match="fleet-1: it has no disk any more"):
        host.start_host(place(settings), read_host(place(settings)), b"")


def test_who_cannot_build_a_disk_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(image.os, "geteuid", lambda: 1000)
    with pytest.raises(InfraError, match="is built by root alone"):
        image.host_image(tmp_path / "cache", quiet)
    monkeypatch.setattr(image.os, "geteuid", lambda: 0)
    monkeypatch.setattr(image.shutil, "which", lambda name: None)
    with pytest.raises(InfraError, match="mmdebstrap is not installed: run `apt-get install mmdebstrap`"):
        image.host_image(tmp_path / "cache", quiet)
    monkeypatch.setattr(image.shutil, "which", lambda name: name)
    monkeypatch.setattr(image, "SPARE_MIB", 1 << 40)
    with pytest.raises(InfraError, match="MiB free, and to build a host's disk takes"):
        image.host_image(tmp_path / "cache", quiet)

# SPDX-License-Identifier: Apache-2.0
"""The systemd units of what runs for long: what each has shut, what it needs open, and that systemd reads it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
AGENT, VERIFIER = ROOT / "host_agent/schedcpd.service", ROOT / "control_plane/schedcp-verifierd.service"
UNITS = {"agent": AGENT, "verifier": VERIFIER}
BOTH = {
    "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes",
    "ProtectClock": "yes", "ProtectHostname": "yes", "ProtectKernelLogs": "yes", "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes", "ProtectControlGroups": "yes", "DevicePolicy": "closed",
    "RestrictSUIDSGID": "yes", "LockPersonality": "yes", "KeyringMode": "private", "LimitCORE": "0",
    "SystemCallArchitectures": "native", "SystemCallErrorNumber": "EPERM", "UMask": "0077",
    "Restart": "on-failure", "KillMode": "mixed",
}  # fmt: skip
# What a stranger's object could do most with, were the holder or a guest broken out of.
NEVER = {"CAP_SYS_MODULE", "CAP_SYS_PTRACE", "CAP_SYS_RAWIO", "CAP_DAC_OVERRIDE", "CAP_SETUID", "CAP_SYS_BOOT",
         "CAP_NET_RAW", "CAP_MKNOD", "CAP_SYSLOG", "CAP_SYS_TIME"}  # fmt: skip
# Of each, the largest exposure that `systemd-analyze security` may find, from 0 to 10.
EXPOSED = {"agent": 40, "verifier": 10}


def read(path: Path) -> dict[str, list[str]]:
    """Each setting's values, in order; a setting outside a section, or a line that is none, is an error."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in path.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        if header := re.fullmatch(r"\[(Unit|Service|Install)\]", line):
            section = header[1]
            continue
        name, equals, value = line.partition("=")
        assert section and equals and re.fullmatch(r"[A-Za-z]+", name), line
        found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("name", BOTH)
def test_each_has_shut_what_neither_needs(unit: str, name: str) -> None:
    assert read(UNITS[unit]).get(name) == [BOTH[name]]


@pytest.mark.parametrize("unit", UNITS)
def test_nothing_is_set_twice_but_what_adds_up(unit: str) -> None:
    twice = {name for name, values in read(UNITS[unit]).items() if len(values) > 1}
    assert twice <= {"SystemCallFilter", "DeviceAllow", "Environment", "ReadWritePaths"}


def test_the_agent_writes_in_its_own_places_alone_and_has_only_these_powers() -> None:
    unit = read(AGENT)
    assert unit["ReadWritePaths"] == ["/run/schedcp /var/lib/schedcp -/etc/schedcp/trust -/run/scx"]
    powers = set(unit["CapabilityBoundingSet"][0].split())
    assert powers == {"CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN", "CAP_SYS_ADMIN", "CAP_SYS_NICE", "CAP_IPC_LOCK",
                      "CAP_SYS_RESOURCE", "CAP_SETPCAP", "CAP_CHOWN", "CAP_DAC_READ_SEARCH", "CAP_KILL"}  # fmt: skip
    assert not powers & NEVER
    assert unit["SystemCallFilter"] == ["@system-service @resources @ipc bpf perf_event_open unshare"]
    assert unit["MemoryDenyWriteExecute"] == ["yes"] and unit["RestrictNamespaces"] == ["net ipc"]
    assert unit["PrivateDevices"] == ["yes"] and unit["RestrictAddressFamilies"] == ["AF_UNIX AF_INET AF_INET6"]
    assert "network" not in " ".join([*unit["After"], *unit.get("Wants", []), *unit.get("Requires", [])])


def test_what_the_holder_keeps_of_roots_powers_the_unit_lets_it_have() -> None:
    source = (ROOT / "host_agent/hold/confine.c").read_text()
    kept = re.search(r"kept\[\] = \{([^}]*)\}", source)
    assert kept is not None
    wanted = {word.strip() for word in kept[1].split(",")}
    assert wanted and wanted <= set(read(AGENT)["CapabilityBoundingSet"][0].split())


def test_the_verifier_has_no_power_no_network_and_one_device() -> None:
    unit = read(VERIFIER)
    assert unit["User"] == ["schedcp-verifier"] and unit["CapabilityBoundingSet"] == [""]
    for name in ("PrivateNetwork", "PrivateIPC", "RestrictNamespaces", "RestrictRealtime", "RemoveIPC"):
        assert unit[name] == ["yes"], name
    assert unit["RestrictAddressFamilies"] == ["AF_UNIX"] and unit["IPAddressDeny"] == ["any"]
    assert unit["DeviceAllow"] == ["/dev/kvm rw"] and unit["ProtectProc"] == ["invisible"]
    allowed, taken, *back = unit["SystemCallFilter"]
    assert (allowed, taken) == ("@system-service", "~@privileged @resources @obsolete")
    assert set(" ".join(back).split()) == {
        "capset", "seccomp", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self",
        "sched_setaffinity", "mbind", "set_mempolicy",
    }  # fmt: skip
    assert "ReadWritePaths" not in unit and "MemoryDenyWriteExecute" not in unit  # QEMU translates code


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_knows_each_line_and_finds_no_more_open_than_is_said(unit: str, tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={EXPOSED[unit]}"]
    done = subprocess.run([*command, UNITS[unit]], capture_output=True, text=True, timeout=60, check=False)
    if "unrecognized option" in done.stderr:
        pytest.skip("systemd-analyze is older than 250")
    assert done.returncode == 0, done.stdout.splitlines()[-1:]
    assert "Unknown" not in done.stderr and "Failed to parse" not in done.stderr, done.stderr

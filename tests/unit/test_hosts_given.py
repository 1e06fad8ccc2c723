# SPDX-License-Identifier: Apache-2.0
"""What a host is given: its keys, the agent with all that it imports, its workload; and how its disk is built."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import time
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.workloads import at_size, workload
from policy_lake.errors import InfraError, InputError
from tasks.hosts import image, load
from tasks.hosts.agent_files import agent_files, hold_program
from tasks.hosts.certificates import make_certificates
from tasks.hosts.given import archive, host_files, trust_files
from tasks.hosts.repeat import exposition, numbers_of, run_once


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    make_certificates(tmp_path / "tls", ["fleet-1", "fleet-2"])
    return tmp_path / "tls"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with an agent that imports some of ours, directly and not."""
    root = tmp_path / "checkout"
    for name, text in {
        "host_agent/__init__.py": '"""The agent."""\n',
        "host_agent/main.py": "import json\nfrom policy_lake.errors import X\nfrom verifier_vm.tokens import a\n",
        "host_agent/schedcpd.service": "[Unit]\n",
        "host_agent/hold/Makefile": "$(OUT): hold.c\n\tcat hold.c >$(OUT)\n\techo made >>made\n",
        "host_agent/hold/hold.c": "held",
        "policy_lake/__init__.py": "import everything\n",
        "policy_lake/errors.py": "def late():\n    from policy_lake import deep\n",
        "policy_lake/deep.py": "import policy_lake.errors\n",
        "policy_lake/unneeded.py": "",
        "verifier_vm/tokens/__init__.py": "",
        "verifier_vm/tokens/a.py": "from tasks import never\n",
        "tasks/never.py": "",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_the_agent_comes_with_what_it_imports_and_nothing_else(checkout: Path) -> None:
    files = agent_files(checkout)
    assert {name for name, content in files.items() if content and not name.endswith("__init__.py")} == {
        "host_agent/main.py", "policy_lake/errors.py", "policy_lake/deep.py", "verifier_vm/tokens/a.py",
    }  # fmt: skip
    assert files["policy_lake/__init__.py"] == files["verifier_vm/__init__.py"] == b""
    (checkout / "policy_lake/deep.py").write_text("def (")
    with pytest.raises(InfraError, match=r"policy_lake/deep.py: cannot be given to a host"):
        agent_files(checkout)


def test_the_holder_is_built_by_its_own_makefile_once_for_its_sources(checkout: Path, tmp_path: Path) -> None:
    folder = checkout / "host_agent/hold"
    assert hold_program(tmp_path, checkout) == hold_program(tmp_path, checkout) == b"held"
    assert (folder / "made").read_text() == "made\n"
    (folder / "made").unlink()
    (folder / "hold.c").write_text("held otherwise")
    assert hold_program(tmp_path, checkout) == b"held otherwise"
    (folder / "Makefile").write_text("$(OUT):\n\techo no compiler >&2; exit 1\n")
    with pytest.raises(InfraError, match="cannot build schedcp-hold: make"):
        hold_program(tmp_path, checkout)


def test_a_host_gets_its_own_key_and_no_other(certificates: Path, checkout: Path, tmp_path: Path) -> None:
    files = host_files("fleet-1", certificates, "p99_us", tmp_path, checkout)
    assert files["etc/schedcp/tls/host.key"] == ((certificates / "fleet-1.key").read_bytes(), 0o600)
    others = [(certificates / f"{name}.key").read_bytes() for name in ("fleet-2", "control-plane")]
    assert not [name for name, (content, _) in files.items() if any(key in content for key in others)]
    assert files["etc/hostname"][0] == b"fleet-1\n" and len(files["etc/machine-id"][0]) == 33
    assert (
        files["etc/machine-id"] != host_files("fleet-2", certificates, "p99_us", tmp_path, checkout)["etc/machine-id"]
    )
    configured = tomllib.loads(files["etc/schedcp/agent.toml"][0].decode())
    assert configured["tls"]["port"] == 7650 and configured["sources"][0]["name"] == "schedcp_workload_p99_us"


def test_a_host_gets_the_agent_with_its_unit_and_its_holder(certificates: Path, checkout: Path, tmp_path: Path) -> None:
    files = host_files("fleet-1", certificates, "p99_us", tmp_path, checkout)
    assert files["etc/systemd/system/schedcpd.service"][0] == b"[Unit]\n"
    assert "usr/lib/schedcp/host_agent/main.py" in files
    assert files["usr/lib/schedcp/schedcp-hold"] == (b"held", 0o755)


def test_the_archive_is_roots_and_enables_its_units() -> None:
    unit = "etc/systemd/system/schedcpd.service"
    data = archive({unit: (b"[Unit]\n", 0o644), "etc/key": (b"k", 0o600)})
    assert data == archive({"etc/key": (b"k", 0o600), unit: (b"[Unit]\n", 0o644)}) and len(data) % 512 == 0
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        entries = {entry.name: entry for entry in tar}
    assert {entry.uid for entry in entries.values()} == {0} and entries["etc/key"].mode == 0o600
    link = entries["etc/systemd/system/multi-user.target.wants/schedcpd.service"]
    assert link.linkname == "../schedcpd.service" and len(entries) == 3


def test_trust_is_plain_files_within_limits(tmp_path: Path) -> None:
    (tmp_path / "signing.pub").write_text("key")
    (tmp_path / "sub").mkdir()
    assert trust_files(tmp_path) == {"etc/schedcp/trust/signing.pub": (b"key", 0o644)}
    (tmp_path / "large").write_bytes(b"x" * ((1 << 20) + 1))
    with pytest.raises(InputError, match="large: larger than 1 MiB"):
        trust_files(tmp_path)


def test_a_workload_is_a_service_that_repeats_its_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"ELF")
    monkeypatch.setattr(load, "host_program", lambda name, program_, cache: program)
    batch = at_size(workload("batch"), "standard")
    files = load.load_files(batch, "tcg", tmp_path)
    assert files["usr/lib/schedcp-workload/batch"] == (b"ELF", 0o755)
    unit = files[f"etc/systemd/system/{load.UNIT}"][0].decode()
    assert f"repeat.py {load.NUMBERS} /usr/lib/schedcp-workload/batch --jobs 40 --short-work" in unit
    assert (
        "--short-work 300000" in load.load_files(batch, "kvm", tmp_path)[f"etc/systemd/system/{load.UNIT}"][0].decode()
    )
    with pytest.raises(InputError, match="it needs kernel-source, which no host of a fleet has"):
        load.load_files(replace(batch, root="kernel-source"), "tcg", tmp_path)
    for odd in ("a b", "%n", "$HOME", "a;b", '"'):
        with pytest.raises(InputError, match="cannot stand in a unit"):
            load.load_files(replace(batch, args=(odd,)), "tcg", tmp_path)


@pytest.mark.parametrize(
    ("output", "numbers"),
    [
        (b'noise\n{"p99_us": 1.5, "n": 2, "ok": true, "name": "x", "Bad": 1, "inf": 1e999, "big": 1e301}\n',
         {"p99_us": 1.5, "n": 2.0}),
        (b"", {}), (b"\n", {}), (b"[1]\n", {}), (b"{", {}), (b"\xff", {}), (b"[" * 200_000, {}),
    ],
)  # fmt: skip
def test_of_what_a_program_prints_only_numbers_on_its_last_line_are_kept(output: bytes, numbers: dict) -> None:
    assert numbers_of(output) == numbers


def test_a_run_that_fails_has_no_numbers_and_the_file_is_prometheus_own() -> None:
    assert run_once(["sh", "-c", "echo '{\"a\": 1}'"]) == {"a": 1.0}
    assert run_once(["sh", "-c", "echo '{\"a\": 1}'; exit 1"]) is None
    assert run_once(["/no/such/program"]) is None
    assert exposition({"b": 2.0, "a": 1.5}) == "schedcp_workload_a 1.5\nschedcp_workload_b 2.0\n"


def test_it_runs_again_and_again_by_python_alone(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.prom"
    script = Path(image.__file__).with_name("repeat.py")
    child = subprocess.Popen([sys.executable, "-I", script, tmp_path, "sh", "-c", "echo '{\"x\": 7}'"], cwd=tmp_path)
    try:
        limit = time.monotonic() + 20
        while time.monotonic() < limit and "runs_total 3" not in (metrics.read_text() if metrics.exists() else ""):
            time.sleep(0.02)
        text = metrics.read_text()
    finally:
        child.kill()
        child.wait()
    assert "schedcp_workload_x 7.0\n" in text and "schedcp_workload_failed_runs_total 0.0\n" in text
    assert (tmp_path / "x").read_text() == "7.0\n"


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a `mmdebstrap` of our own on the PATH, and root's means."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(image, "require_means", lambda kept: None)
    monkeypatch.setattr(image, "mirror", lambda: "http://mirror.test/debian")
    monkeypatch.setattr(image, "DISK_MIB", 8)
    return programs


def script(builder: Path, text: str) -> None:
    (builder / "mmdebstrap").write_text(f"#!/bin/sh\nfor last; do :; done\neval root=\\$$(($# - 1))\n{text}\n")
    (builder / "mmdebstrap").chmod(0o755)


def test_the_disk_is_built_once_and_named_by_its_recipe(builder: Path, tmp_path: Path, monkeypatch) -> None:
    script(builder, 'mkdir -p "$root/etc/systemd/system"; echo "I: unpacking" >&2; echo built >>' + f"{tmp_path}/log")
    said: list[str] = []
    disk = image.host_image(tmp_path / "cache", said.append)
    assert disk == image.host_image(tmp_path / "cache", said.append) and (tmp_path / "log").read_text() == "built\n"
    assert disk.name == f"{image.recipe()}.raw" and disk.stat().st_size == 8 << 20
    assert "a host's disk: unpacking" in said
    listed = subprocess.run(
        ["debugfs", "-R", "ls -p /etc/systemd/system", disk], capture_output=True, text=True, check=False
    )
    assert "schedcp-ready.service" in listed.stdout and "apt-daily.timer" in listed.stdout
    assert {path.name for path in disk.parent.iterdir()} == {disk.name, "build.lock"}
    before = image.recipe()
    monkeypatch.setattr(image, "PACKAGES", (*image.PACKAGES, "more"))
    assert image.recipe() != before


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("echo 'E: no such mirror' >&2; exit 1", "mmdebstrap failed: E: no such mirror"),
        ("exit 3", "mmdebstrap failed: exit 3"),
        ("sleep 60", "mmdebstrap did not end within 1 s"),
        ('mkdir -p "$root"; dd if=/dev/urandom of="$root/x" bs=1M count=3 2>/dev/null', "a host's files have 3 MiB"),
    ],
)
def test_a_build_that_fails_is_one_line_and_leaves_no_disk(
    builder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, fault: str
) -> None:
    script(builder, text)
    monkeypatch.setattr(image, "BUILD_S", 1.0 if "sleep" in text else 60.0)
    monkeypatch.setattr(image, "MOST_ROOT_MIB", 2)
    with pytest.raises(InfraError, match=fault):
        image.host_image(tmp_path / "cache", lambda text: None)
    assert {path.name for path in (tmp_path / "cache" / "hosts").iterdir()} == {"build.lock"}

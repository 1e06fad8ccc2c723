# SPDX-License-Identifier: Apache-2.0
"""The disk that every new host starts from: a small Debian, built once and kept under the digest of its recipe.

What the project gives a host (agent, keys, workload) is not in it: that is given anew with each start (given.py).
"""

from __future__ import annotations

import hashlib
import json
import os
import selectors
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from policy_lake.errors import InfraError
from policy_lake.files import PARTS, beyond, locked, scratch
from policy_lake.secrets import child_environment
from verifier_vm.machine.kernel import KEYRING, mirror
from verifier_vm.machine.qemu import unless_orphaned

SUITE = "bookworm"
PACKAGES = ("systemd-sysv", "python3", "python3-cryptography", "libbpf1")
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
DISK_MIB, MOST_ROOT_MIB, SPARE_MIB = 1024, 512, 1536  # SPARE: root and disk while it is built
BUILD_S = 900.0
KEPT_BYTES = 2 << 30  # of disks that were used last: one has 250 MiB
UNITS = "etc/systemd/system"
# There is no udev and no console that a screen shows; of what a server runs by the clock nothing is wanted here.
MASKED = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer",
    "systemd-tmpfiles-clean.timer", "e2scrub_reap.service", "getty.target", "getty-static.service",
    "serial-getty@ttyS0.service", "systemd-logind.service", "systemd-update-utmp.service",
    "systemd-update-utmp-runlevel.service", "systemd-binfmt.service", "systemd-firstboot.service",
    "systemd-repart.service", "systemd-modules-load.service", "systemd-pcrphase.service", "systemd-pstore.service",
    "systemd-machine-id-commit.service", "systemd-initctl.socket", "systemd-ask-password-console.path",
    "systemd-ask-password-wall.path", "dev-hugepages.mount", "dev-mqueue.mount", "sys-kernel-config.mount",
    "proc-sys-fs-binfmt_misc.automount", "sys-fs-fuse-connections.mount", "modprobe@.service",
)  # fmt: skip
FILES: Mapping[str, str] = {
    f"{UNITS}/console-getty.service.d/root.conf":
        "[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --noclear --keep-baud console 115200 vt100\n",
    f"{UNITS}/schedcp-ready.service":
        "[Unit]\nDescription=Says to whoever started this host that it is up\n"
        "After=schedcpd.service schedcp-workload.service\n"
        "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'read up idle </proc/uptime; echo $up >/dev/vport0p1'\n",
    "etc/systemd/journald.conf.d/host.conf": "[Journal]\nStorage=volatile\nRuntimeMaxUse=8M\n",
    "etc/systemd/system.conf.d/host.conf": "[Manager]\nDefaultTimeoutStopSec=5s\n",
    "etc/fstab": "",
}  # fmt: skip
ENABLED = {"console-getty.service": "/lib/systemd/system/console-getty.service",
           "schedcp-ready.service": "../schedcp-ready.service"}  # fmt: skip
Progress = Callable[[str], None]


def recipe() -> str:
    """The name of what the disk is made of, which is the name of its file."""
    parts = [SUITE, PACKAGES, LEFT_OUT, DISK_MIB, MASKED, sorted(FILES.items()), sorted(ENABLED.items())]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def host_image(cache_dir: Path, progress: Progress) -> Path:
    """The disk of a host that was never started, built unless it is there; `progress` gets a line a step.

    InfraError in one line where it cannot be built: not root, a program missing, no room, no mirror, out of time.
    """
    kept = cache_dir / "hosts"
    path = kept / f"{recipe()}.raw"
    if path.is_file():
        os.utime(path)
        return path
    require_means(kept)
    kept.mkdir(parents=True, exist_ok=True)
    with locked(kept / "build.lock", timeout_s=BUILD_S):
        if path.is_file():  # by another command while we waited
            return path
        for left in kept.glob(PARTS):
            left.unlink(missing_ok=True)
        part = kept / f".{path.name}.part"
        try:
            with scratch("hosts") as work:
                _build(Path(work) / "root", part, progress)
            part.rename(path)
        finally:
            part.unlink(missing_ok=True)
    for old in beyond(kept.glob("*.raw"), room=KEPT_BYTES):
        old.unlink(missing_ok=True)
    return path


def require_means(kept: Path) -> None:
    """InfraError, with the command that mends it, unless a disk can be built here."""
    if os.geteuid() != 0:
        raise InfraError("a host's disk is built by root alone (mmdebstrap, files of other owners): run this as root")
    for program, package in (("mmdebstrap", "mmdebstrap"), ("mke2fs", "e2fsprogs")):
        if shutil.which(program) is None:
            raise InfraError(f"{program} is not installed: run `apt-get install {package}`")
    there = next(path for path in (kept, *kept.parents) if path.is_dir())
    free_mib = shutil.disk_usage(there).free >> 20
    if free_mib < SPARE_MIB:
        raise InfraError(f"{there}: {free_mib} MiB free, and to build a host's disk takes {SPARE_MIB}")


def _build(root: Path, disk: Path, progress: Progress) -> None:
    progress(f"a host's disk: Debian {SUITE} with {', '.join(PACKAGES)} (once, a minute)")
    limit = time.monotonic() + BUILD_S
    source = f"deb [signed-by={KEYRING}] {mirror()} {SUITE} main"
    excluded = [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
    command = ["mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", *excluded,
               '--aptopt=Acquire::Languages "none"', SUITE, str(root), source]  # fmt: skip
    _run(command, "mmdebstrap", limit, progress)
    _furnish(root)
    used_mib = sum(path.lstat().st_blocks for path in root.rglob("*")) * 512 >> 20
    if used_mib > MOST_ROOT_MIB:
        raise InfraError(f"a host's files have {used_mib} MiB, more than the {MOST_ROOT_MIB} that they may have")
    progress(f"a host's disk: {used_mib} MiB of files into a file system of {DISK_MIB} MiB")
    with disk.open("wb") as file:
        file.truncate(DISK_MIB << 20)
    _run(["mke2fs", "-q", "-t", "ext4", "-m", "0", "-L", "host", "-d", str(root), str(disk)], "mke2fs", limit, progress)


def _furnish(root: Path) -> None:
    for directory in ("multi-user.target.wants", "timers.target.wants", "getty.target.wants", "sysinit.target.wants"):
        shutil.rmtree(root / UNITS / directory, ignore_errors=True)
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for unit in MASKED:
        (root / UNITS / unit).unlink(missing_ok=True)
        (root / UNITS / unit).symlink_to("/dev/null")
    wants = root / UNITS / "multi-user.target.wants"
    wants.mkdir()
    for unit, target in ENABLED.items():
        (wants / unit).symlink_to(target)


def _run(command: Sequence[str], name: str, limit: float, progress: Progress) -> None:
    """Run to its end, at most until `limit` (monotonic); what it says of its steps goes to `progress`."""
    child = subprocess.Popen(
        unless_orphaned(command), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        start_new_session=True, env=child_environment(TMPDIR="/tmp"),
    )  # fmt: skip
    last = ""
    try:
        for last in _lines(child, limit):
            if last.startswith("I: "):
                progress(f"a host's disk: {last[3:]}")
        if child.wait(max(0.1, limit - time.monotonic())):
            raise InfraError(f"{name} failed: {last[:300] or f'exit {child.returncode}'}")
    except subprocess.TimeoutExpired:
        raise InfraError(f"{name} did not end within {BUILD_S:.0f} s: is the Debian mirror reachable?") from None
    finally:
        if child.poll() is None:
            child.terminate()  # mmdebstrap unmounts what it has mounted
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, 9)
                child.wait()


def _lines(child: subprocess.Popen[bytes], limit: float) -> Iterator[str]:
    """The lines of its stderr as they come; TimeoutExpired at the limit."""
    assert child.stderr
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(child.stderr, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, limit - time.monotonic())):
                raise subprocess.TimeoutExpired(child.args, BUILD_S)
            data = os.read(child.stderr.fileno(), 65536)
            *lines, rest = (rest + data).split(b"\n")
            rest = rest[-4096:]
            for line in lines if data else [*lines, rest]:
                if text := line.decode("utf-8", "replace").strip():
                    yield text
            if not data:
                return

# SPDX-License-Identifier: Apache-2.0
"""`schedcp doctor`: what is there, what is missing, and what mends it: a command, or a variable and what it must be."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from control_plane.output import escape, out, print_json, working
from control_plane.outputs import CheckedPart, DoctorOutput
from policy_lake.errors import SETUP, InputError, SchedcpError
from policy_lake.guest import GuestJob
from policy_lake.host_file import FEATURES
from policy_lake.process_limits import RUN, shortage
from policy_lake.records import LakeError
from policy_lake.secrets import child_environment
from tasks.host.describe import describe_host
from tasks.host.settings import Settings, load_settings

FREE_DISK_GIB, FREE_MEMORY_GIB = 3.0, 2.0
KERNEL = "set SCHEDCP_KERNEL to a bzImage or vmlinux with sched_ext and BTF, or unset it"
GUEST = "mend what it is about of SCHEDCP_CLOCK, _ACCEL, _CPUS, _LLCS, _SMT, _NODES and _MACHINE, or unset it"
MODEL = "set SCHEDCP_MODEL to a name and SCHEDCP_MODEL_URL to http(s)://HOST[:PORT]/v1, or unset both"


def examine() -> list[CheckedPart]:
    """Look at everything that a run needs, in the order in which it is needed; boots one guest at the end."""
    settings = load_settings()
    with working("looking") as say:
        findings = [_tool(name, command) for name, command in TOOLS.items()]
        findings += [_checked("host", lambda: _host(settings))]
        findings += [_checked("qemu", _qemu), _checked("libbpf", _libbpf), _checked("python", _python), _limits()]
        findings += [_checked("memory", _memory, lambda _: "end what else uses it here")]
        findings += [_checked("disk", lambda: _disk(settings), lambda _: "name another place in SCHEDCP_CACHE_DIR")]
        kernel = _checked("kernel", lambda: _kernel(settings), _wrong(KERNEL))
        of_guest = _wrong(GUEST if kernel.ok else kernel.mend)
        findings.append(kernel)
        say("booting a guest")
        findings += [_checked("guest", lambda: _guest(settings), of_guest)]
        findings += [_checked("kvm", lambda: _kvm(settings), of_guest), _checked("clock", lambda: _clock(settings))]
        findings += [_checked("lake", lambda: _lake(settings), lambda error: _lake_mend(settings, error))]
        findings += [_checked("model", lambda: _model(settings), lambda _: MODEL)]
        findings += [_checked("resident", lambda: _resident(settings), lambda _: "schedcp down")]
    return findings


def show(findings: list[CheckedPart], *, as_json: bool) -> None:
    """Print the findings, one line each."""
    if as_json:
        print_json("doctor", DoctorOutput(all(f.ok for f in findings), tuple(findings)))
        return
    for finding in findings:
        mark = "[green]ok     [/]" if finding.ok else "[red]missing[/]"
        mend = f"  ->  {finding.mend}" if not finding.ok and finding.mend else ""
        out().print(f"{mark} {escape(finding.name):<8} {escape(finding.detail + mend)}", soft_wrap=True)


TOOLS = {
    "clang": ("clang-19", "--version"),
    "llvm": ("llvm-strip-19", "--version"),
    "gcc": ("gcc", "--version"),
    "bpftool": ("bpftool", "version"),
    "zstd": ("zstd", "--version"),
    "setpriv": ("setpriv", "--version"),
}


def _tool(name: str, command: tuple[str, ...]) -> CheckedPart:
    if not shutil.which(command[0]):
        return CheckedPart(name, False, f"{command[0]} is not installed", SETUP)
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, env=child_environment())
    version = next((line.strip() for line in done.stdout.splitlines() if any(c.isdigit() for c in line)), "")
    return CheckedPart(name, done.returncode == 0, version or f"{command[0]} does not answer", SETUP)


def _checked(name: str, look: Callable[[], str], mend: Callable[[Exception], str] = lambda _: SETUP) -> CheckedPart:
    """`look` describes what is there, or raises what is wrong; `mend` says what helps against that."""
    try:
        return CheckedPart(name, True, look())
    except (SchedcpError, OSError) as error:
        return CheckedPart(name, False, " ".join(str(error).split()), mend(error))


def _wrong(variable: str) -> Callable[[Exception], str]:
    """Bad input is a variable's, and set-up would read the same; what is not there, set-up makes."""
    return lambda error: variable if isinstance(error, InputError) else SETUP


def _lake_mend(settings: Settings, error: Exception) -> str:
    if isinstance(error, LakeError):  # it names the command
        return ""
    return f"mend it, or name another place in {'SCHEDCP_LAKE' if settings.lake else 'SCHEDCP_DATA_DIR'}"


def _qemu() -> str:
    from verifier_vm.machine.qemu import qemu_version

    return "QEMU " + ".".join(map(str, qemu_version()))


def _libbpf() -> str:
    static = Path("/usr/lib/x86_64-linux-gnu/libbpf.a")
    if not static.is_file():
        raise SchedcpError("libbpf-dev is not installed (no static libbpf)")
    text = Path("/usr/include/bpf/libbpf_version.h").read_text()
    version = tuple(int(part.split()[-1]) for part in text.splitlines() if "define LIBBPF_M" in part)
    if version < (1, 4):
        raise SchedcpError(f"libbpf {version} cannot attach policies on a 7.x kernel: at least 1.4 is needed")
    return "libbpf " + ".".join(map(str, version))


def _python() -> str:
    names = ("prefect", "ray", "lancedb", "dspy")
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


def _limits() -> CheckedPart:
    short = shortage(RUN)
    return CheckedPart("limits", not short, short or "`ulimit` leaves what a run needs")


def _memory() -> str:
    lines = Path("/proc/meminfo").read_text().splitlines()
    gib = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) / 2**20
    if gib < FREE_MEMORY_GIB:
        raise SchedcpError(f"{gib:.1f} GiB of memory free, a run needs about {FREE_MEMORY_GIB:g}")
    return f"{gib:.1f} GiB free, {os.cpu_count()} CPUs"


def _disk(settings: Settings) -> str:
    place = settings.cache_dir
    while not place.exists():
        place = place.parent
    gib = shutil.disk_usage(place).free / 2**30
    if gib < FREE_DISK_GIB:
        raise SchedcpError(f"{gib:.1f} GiB free below {place}, a run needs about {FREE_DISK_GIB:g}: free some")
    return f"{gib:.1f} GiB free below {place}"


def _kernel(settings: Settings) -> str:
    from verifier_vm.machine.kernel import installed_kernel

    return f"{installed_kernel(settings.cache_dir, settings.kernel).release} with sched_ext"


def _guest(settings: Settings) -> str:
    from tasks.host.guest import prepare_guest
    from verifier_vm.machine import vm

    guest = prepare_guest(settings)
    report = vm.run(GuestJob({}, ()), guest.machine)
    return f"boots, runs its init and powers off in {report.seconds:.1f} s ({report.accel}, {guest.machine.cpus} CPUs)"


def _kvm(settings: Settings) -> str:
    from tasks.host.guest import prepare_guest

    accel = prepare_guest(settings).machine.accel
    if accel == "kvm":
        return "a guest boots under it"
    if Path("/dev/kvm").exists():
        return "/dev/kvm is there, but no guest boots under it: TCG is used, which works and is slower"
    return "none: TCG is used, which works and is slower"


def _host(settings: Settings) -> str:
    """Whether a policy can be loaded on this very host; it is verified in guests, which need nothing of that."""
    try:
        host = describe_host(settings)
    except InputError as error:
        return f"kernel {platform.release()}: {error}"
    if not host.features:
        since = ", ".join(f"{name} {version}" for name, (_, version) in FEATURES.items() if version)
        return (
            f"kernel {host.kernel} has no sched_ext, and policies cannot be loaded here; since which version: {since}"
        )
    lacking = [
        f"{name} (since {FEATURES[name][1] or 'a later kernel'})" for name in FEATURES if name not in host.features
    ]
    return f"kernel {host.kernel} has {', '.join(host.features)}" + (f"; not {', '.join(lacking)}" if lacking else "")


def _clock(settings: Settings) -> str:
    from verifier_vm.machine.clock import usable_clock

    path = usable_clock(settings.cache_dir)
    return f"virtual time works with this QEMU ({path.stem[:15]}): guests under TCG keep their own time"


def _lake(settings: Settings) -> str:
    from policy_lake.lake import Lake

    counts = Lake(settings.lake_dir).counts()
    return f"{settings.lake_dir}: " + ", ".join(f"{count} {kind}" for kind, count in counts.items())


def _resident(settings: Settings) -> str:
    from control_plane.resident_client import status

    answer = status(settings)
    if answer is None:
        return "none: `schedcp up` keeps Prefect's server and Ray for those who tune often"
    doing = f"at work on {answer['busy']}" if answer["busy"] else "idle"
    return f"process {answer['pid']}, {answer['runs']} runs so far, {doing}"


def _model(settings: Settings) -> str:
    from tasks.run.budget import endpoint_of

    return f"plans with {settings.model}" if endpoint_of(settings) else "none configured: the embedded planner plans"

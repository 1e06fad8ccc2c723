# SPDX-License-Identifier: Apache-2.0
"""The guest's kernel: fetched and checked by apt from the machine's own mirror, or the user's by path.

Debian builds its kernels with sched_ext from 6.19 on, in the backports and unstable suites only. apt runs with private
lists and state, so the host's package set and sources stay as they are; nothing here names a host.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from policy_lake.errors import SETUP, InfraError, InputError
from policy_lake.files import atomic_write, read_outside
from policy_lake.secrets import child_environment
from verifier_vm.machine.bzimage import release_of, vmlinux_of
from verifier_vm.machine.kernel_config import NAME, config_package, find_config, keep_config
from verifier_vm.object.elf import read_sections, section_named
from verifier_vm.object.errors import ObjectError

SUITE = "trixie-backports"
PACKAGE = re.compile(r"^linux-binary-(\d+(?:\.\d+)*)\+deb\d+-cloud-amd64$")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
VMLINUX_BYTES = 1 << 30  # uncompressed; Debian's has some 60 MB, one with DWARF half a GB
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Kernel:
    """A bootable kernel with sched_ext, the directory that holds its vmlinux.h, and the hashes a token binds to.

    `config` is the file with its configuration, where that was found.
    """

    release: str
    image: Path
    headers: Path
    sha256: str
    btf_sha256: str
    config: Path | None = None


def installed_kernel(cache_dir: Path, override: Path | None = None) -> Kernel:
    """The kernel that set-up prepared, or the one at `override` (a bzImage), prepared on first use.

    InputError when the override is no kernel with sched_ext; InfraError with the mending command when there is none.
    """
    if override is not None:
        return prepare_kernel(override, cache_dir)
    current = cache_dir / "kernels" / "current.json"
    try:
        stored = json.loads(current.read_text())
        # By its name alone (once it was a path): a cache may be copied to another place.
        kernel = _load(cache_dir / "kernels" / Path(stored["directory"]).name)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InfraError(f"no guest kernel here: run `{SETUP}` (or name your own in SCHEDCP_KERNEL)") from error
    return kernel


def find_kernel(cache_dir: Path, release: str, btf_sha256: str, *, sha256: str = "") -> Path:
    """The image of the kernel with these types, and of this digest where one is given, among those prepared here.

    InputError, with what to do, where there is none.
    """
    for described in sorted((cache_dir / "kernels").glob("*/kernel.json")):
        try:
            known = _load(described.parent)
        except (InfraError, OSError, ValueError, KeyError, TypeError):
            continue
        if known.btf_sha256 == btf_sha256 and sha256 in ("", known.sha256):
            return known.image
    name = release[:80]
    raise InputError(
        f"the kernel {name} (types {btf_sha256[:16]}…) is not here: copy that host's /boot/vmlinuz-{name}, and run "
        "`SCHEDCP_KERNEL=FILE schedcp doctor` once, which keeps it"
    )


def fetch_kernel(cache_dir: Path, progress: Progress) -> Kernel:
    """Fetch the newest sched_ext kernel that the machine's mirror has, once; `progress` gets a line a step."""
    try:
        return _with_config(installed_kernel(cache_dir), cache_dir, progress)
    except InfraError:
        pass
    with tempfile.TemporaryDirectory(prefix="apt-", dir=_made(cache_dir)) as work:
        apt = private_apt(Path(work))
        listed = _call(["apt-cache", *apt[1:], "pkgnames", "linux-binary-"], "apt-cache").split()
        names = sorted((n for n in listed if PACKAGE.match(n)), key=_version)
        if not names:
            raise InfraError(f"the mirror's {SUITE} has no linux-binary-*-cloud-amd64: name a kernel in SCHEDCP_KERNEL")
        progress(f"kernel: {names[-1]} from {SUITE}")
        package = fetch_into(Path(work), names[-1], apt)
        image = next(Path(work).glob("usr/lib/modules/*/vmlinuz"))
        release = image.parent.name
        fetch_into(Path(work), config_package(release), apt)  # its `config` lies beside the image then
        kernel = prepare_kernel(image, cache_dir)
    current = {"directory": kernel.image.parent.name, "package": package.name}
    atomic_write(cache_dir / "kernels" / "current.json", json.dumps(current).encode())
    return kernel


def _with_config(kernel: Kernel, cache_dir: Path, progress: Progress) -> Kernel:
    """The same with its configuration, which a set-up of before did not fetch; as it is where the mirror has it not."""
    if kernel.config is not None:
        return kernel
    with tempfile.TemporaryDirectory(prefix="apt-", dir=_made(cache_dir)) as work:
        progress(f"kernel: the configuration of {kernel.release}")
        try:
            fetch_into(Path(work), config_package(kernel.release), private_apt(Path(work)))
        except InfraError as error:
            progress(f"kernel: {error}: policies that ask for CONFIG_… cannot be loaded")
            return kernel
        image = Path(work, "usr/lib/modules", kernel.release, "vmlinuz")
        keep_config(kernel.image.parent, find_config(image, kernel.release))
    return _load(kernel.image.parent)


def fetch_into(work: Path, package: str, apt: list[str]) -> Path:
    """Fetch a package with `private_apt`'s command and unpack it in `work`; its file there. InfraError."""
    _call([*apt, "download", package], f"apt-get download {package}", cwd=work)
    file = next(work.glob(f"{package}_*.deb"))
    _call(["dpkg", "-x", str(file), str(work)], "dpkg -x")
    return file


def prepare_kernel(image: Path, cache_dir: Path) -> Kernel:
    """The kernel at `image` with its vmlinux.h, kept under the cache by content."""
    try:
        data = read_outside(image, VMLINUX_BYTES)
    except InputError as error:
        raise InputError(f"kernel {error}") from None
    digest = hashlib.sha256(data).hexdigest()
    directory = _made(cache_dir / "kernels") / digest[:32]
    if (directory / "kernel.json").is_file():
        if not (directory / NAME).is_file():
            keep_config(directory, find_config(image, release_of(data)))
        return _load(directory)
    with tempfile.TemporaryDirectory(prefix="kernel-", dir=directory.parent) as work:
        vmlinux, content = Path(work) / "vmlinux", vmlinux_of(data, image)
        btf_sha256 = _btf_digest(content, image)
        vmlinux.write_bytes(content)
        header = _call(["bpftool", "btf", "dump", "file", str(vmlinux), "format", "c"], "bpftool")
        if "struct sched_ext_ops {" not in header:
            raise InputError(f"kernel {image}: built without sched_ext (CONFIG_SCHED_CLASS_EXT)")
        made = Path(work) / "made"
        made.mkdir()
        (made / "vmlinux.h").write_text(header)
        (made / "bzImage").write_bytes(data)
        known = {"release": release_of(data), "sha256": digest, "btf_sha256": btf_sha256}
        (made / "kernel.json").write_text(json.dumps(known))
        keep_config(made, find_config(image, known["release"]))
        shutil.rmtree(directory, ignore_errors=True)
        made.rename(directory)
    return _load(directory)


def _load(directory: Path) -> Kernel:
    known = json.loads((directory / "kernel.json").read_text())
    image = directory / "bzImage"
    if not image.is_file() or not (directory / "vmlinux.h").is_file():
        raise InfraError(f"the kernel in {directory} is incomplete: run `{SETUP}`")
    config = directory / NAME if (directory / NAME).is_file() else None
    return Kernel(known["release"], image, directory, known["sha256"], known["btf_sha256"], config)


def mirror() -> str:
    """Where this machine's configuration says that Debian's archive is; InfraError if it names none."""
    # --no-release-info: a machine that never updated has no lists, but its sources are known all the same.
    wanted = ["--no-release-info", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages"]
    targets = [line.split() for line in _call(["apt-get", "indextargets", *wanted], "apt-get").splitlines() if line]
    # Debian's own archive is the one that also has an -updates suite.
    own = [target[1] for target in targets if target[0].endswith("-updates")]
    uri = next(iter(own or [target[1] for target in targets if "security" not in target[0]]), None)
    if uri is None:
        raise InfraError("no Debian mirror in this machine's apt sources: add one, or name a kernel in SCHEDCP_KERNEL")
    return uri


def private_apt(work: Path) -> list[str]:
    """`apt-get` with lists of its own below `work`, updated, for the suite that the kernels come from. InfraError."""
    uri = mirror()
    for name in ("lists/partial", "cache/archives/partial"):
        (work / name).mkdir(parents=True)
    (work / "sources.list").write_text(f"deb [signed-by={KEYRING}] {uri} {SUITE} main\n")
    options = {
        "Dir::Etc::sourcelist": work / "sources.list", "Dir::Etc::sourceparts": "-",
        "Dir::State::Lists": work / "lists", "Dir::Cache": work / "cache", "APT::Sandbox::User": "root",
    }  # fmt: skip
    apt = ["apt-get", "-q", *(part for key, value in options.items() for part in ("-o", f"{key}={value}"))]
    _call([*apt, "update"], "apt-get update")
    return apt


def _version(package: str) -> tuple[int, ...]:
    match = PACKAGE.match(package)
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def _btf_digest(vmlinux: bytes, image: Path) -> str:
    try:
        section = section_named(read_sections(vmlinux, most_bytes=VMLINUX_BYTES), ".BTF")
    except ObjectError as error:
        raise InputError(f"kernel {image}: {error}") from error
    if section is None:
        raise InputError(f"kernel {image}: built without BTF (CONFIG_DEBUG_INFO_BTF)")
    return hashlib.sha256(section.data).hexdigest()


def _call(command: list[str], name: str, *, cwd: Path | None = None) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=300, cwd=cwd, check=False, env=child_environment()
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InfraError(f"{name} failed: {error}; run `{SETUP}`") from error
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise InfraError(f"{name} failed: {last[-1] if last else f'exit {done.returncode}'}")
    return done.stdout


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory

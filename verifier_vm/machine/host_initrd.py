# SPDX-License-Identifier: Apache-2.0
"""What a host boots from before it has its disk: our first program and the kernel's modules for disk and network.

The modules are those of the kernel that set-up fetched, from Debian's package beside it, kept with it.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path

from policy_lake.errors import SETUP, InfraError
from policy_lake.files import atomic_write, beyond
from verifier_vm.machine.cpio import TRAILER, entry
from verifier_vm.machine.image import Program, host_program
from verifier_vm.machine.kernel import Kernel, fetch_into, private_apt

SOURCE = Path(__file__).parents[1] / "host" / "start.c"
# In the order in which they need one another.
MODULES = ("drivers/block/virtio_blk", "net/core/failover", "drivers/net/net_failover", "drivers/net/virtio_net")
KEPT_BYTES = 64 << 20  # of initramfs files that were used last: one has 1 MiB
Progress = Callable[[str], None]


def host_initrd(kernel: Kernel, cache_dir: Path, progress: Progress) -> Path:
    """The initramfs of a host with that kernel, built once for what it is made of. InfraError says what is missing."""
    start = host_program("start", Program((SOURCE,)), cache_dir).read_bytes()
    modules = [path.read_bytes() for path in _modules(kernel, progress)]
    digest = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in (start, *modules))).hexdigest()
    path = cache_dir / "hosts" / f"{digest[:32]}.cpio"
    if not path.is_file():
        atomic_write(path, _archive(start, modules))
        for old in beyond(path.parent.glob("*.cpio"), room=KEPT_BYTES):
            old.unlink(missing_ok=True)
    return path


def _modules(kernel: Kernel, progress: Progress) -> list[Path]:
    kept = kernel.image.parent / "modules"
    paths = [kept / f"{Path(name).name}.ko.xz" for name in MODULES]
    if not all(path.is_file() for path in paths):
        _fetch(kernel, kept, progress)
    return paths


def _fetch(kernel: Kernel, kept: Path, progress: Progress) -> None:
    package = f"linux-modules-{kernel.release}"
    progress(f"kernel modules for disk and network: {package}")
    with tempfile.TemporaryDirectory(prefix="apt-", dir=kernel.image.parent) as work:
        try:
            fetch_into(Path(work), package, private_apt(Path(work)))
            for name in MODULES:
                path = Path(work, "usr/lib/modules", kernel.release, "kernel", f"{name}.ko.xz")
                atomic_write(kept / path.name, path.read_bytes())
        except (InfraError, OSError) as error:
            raise InfraError(
                f"no {package} from this machine's mirror ({error}): hosts take Debian's own kernel, "
                f"run `{SETUP}` for the one that is there now"
            ) from error


def _archive(start: bytes, modules: list[bytes]) -> bytes:
    parts = [entry(name, 0o040755, b"") for name in ("dev", "modules", "root")]
    parts += [entry(f"modules/{place}", 0o100644, data) for place, data in enumerate(modules)]
    return b"".join([*parts, entry("init", 0o100755, start), entry(TRAILER, 0, b"")])

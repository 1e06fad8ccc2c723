# SPDX-License-Identifier: Apache-2.0
"""How a guest's kernel was configured: what libbpf answers a policy's `__kconfig` externs with.

Debian ships it beside the kernel, in another package; a kernel of the user's own has it where kernels have theirs. The
guest finds it where libbpf looks, at /boot/config-RELEASE.
"""

from __future__ import annotations

from pathlib import Path

from policy_lake.files import atomic_write
from verifier_vm.object.kconfig import MOST_BYTES

NAME = "config"  # beside the kernel's image in the cache


def config_package(release: str) -> str:
    """Debian's package that has the configuration of `release` (as /usr/lib/modules/RELEASE/config)."""
    return f"linux-base-{release}"


def find_config(image: Path, release: str) -> bytes | None:
    """The configuration of the kernel at `image`, from the places where kernels have theirs; None if it is in none."""
    name = f"config-{release}"
    beside = (image.with_name(name), image.with_name(NAME))
    for path in (*beside, Path("/usr/lib/modules", release, NAME), Path("/boot", name)):
        try:
            if path.is_file() and path.stat().st_size <= MOST_BYTES:
                return path.read_bytes()
        except OSError:
            continue
    return None


def keep_config(directory: Path, config: bytes | None) -> None:
    """Keep it beside the kernel in the cache, where there is one."""
    if config is not None:
        atomic_write(directory / NAME, config)


def guest_files(release: str, config: Path | None) -> dict[str, bytes]:
    """The guest's file with it, by its path there; none where it is not known."""
    return {f"boot/config-{release}": config.read_bytes()} if config else {}

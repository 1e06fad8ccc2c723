# SPDX-License-Identifier: Apache-2.0
"""This host in a host file, and the kernels that a verifier here has for the hosts of others."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path

from policy_lake.errors import InputError
from policy_lake.files import read_outside
from policy_lake.host_cpus import read_host_cpus
from policy_lake.host_file import HostFile, features_in, read_host_file
from tasks.host.audience import audience
from tasks.host.settings import Settings
from verifier_vm.machine.kernel import find_kernel

BTF = Path("/sys/kernel/btf/vmlinux")
IMAGES = ("/boot/vmlinuz-{}", "/usr/lib/modules/{}/vmlinuz", "/lib/modules/{}/vmlinuz")
BTF_BYTES, IMAGE_BYTES = 64 << 20, 1 << 30


def describe_host(settings: Settings) -> HostFile:
    """This host. InputError where its kernel does not tell its types; its image may be missing or unreadable."""
    release = platform.release()
    try:
        btf = BTF.read_bytes()
    except OSError as error:
        reason = "its kernel has no BTF (CONFIG_DEBUG_INFO_BTF), and no policy can be loaded there"
        raise InputError(f"{BTF}: {error.strerror}: {reason}") from error
    return HostFile(
        audience(settings), release, hashlib.sha256(btf).hexdigest(), read_host_cpus(), _image_digest(release),
        features_in(btf), platform.machine(),
    )  # fmt: skip


def settings_for(settings: Settings) -> Settings:
    """The settings to verify for the host of `for_host`: its audience and, with a verifier of our own, its kernel.

    InputError where its kernel has no sched_ext, or its image is not here, with what to do.
    """
    if settings.for_host is None:
        return settings
    host = read_host_file(settings.for_host)
    if "sched_ext" not in host.features:
        raise InputError(f"{settings.for_host}: kernel {host.kernel} there has no sched_ext: no policy can be loaded")
    changes: dict[str, object] = {"audience": host.audience}
    if settings.verifier is None:
        changes["kernel"] = find_kernel(settings.cache_dir, host.kernel, host.btf_sha256, sha256=host.kernel_sha256)
    return settings.model_copy(update=changes)


def _image_digest(release: str) -> str:
    for place in IMAGES:
        try:
            return hashlib.sha256(read_outside(place.format(release), IMAGE_BYTES)).hexdigest()
        except InputError:
            continue
    return ""

# SPDX-License-Identifier: Apache-2.0
"""What a loader takes from a kernel, read from what is kept of it: vmlinux.h and its configuration."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from policy_lake.errors import SETUP, InfraError
from verifier_vm.machine.kernel import Kernel
from verifier_vm.object.filled import KernelValues
from verifier_vm.object.kconfig import read_kconfig

_ENUMERATOR = re.compile(r"^\t([A-Za-z_]\w*) = (-?\d+)(?:U?LL)?,$", re.MULTILINE)  # as bpftool prints them


def kernel_values(kernel: Kernel) -> KernelValues:
    """The enumerators, configuration and release of a kernel; InfraError where its files cannot be read."""
    return _read(kernel.headers / "vmlinux.h", kernel.config, kernel.release)


@lru_cache(maxsize=4)
def _read(header: Path, config: Path | None, release: str) -> KernelValues:
    try:
        text = header.read_text(encoding="utf-8", errors="replace")
        configured = read_kconfig(config.read_text(encoding="utf-8", errors="replace")) if config else None
    except OSError as error:
        raise InfraError(f"{error.filename}: {error.strerror}: run `{SETUP}`") from error
    return KernelValues({name: int(value) for name, value in _ENUMERATOR.findall(text)}, configured, release)

# SPDX-License-Identifier: Apache-2.0
"""A host as `schedcp host describe` writes it, for a verifier elsewhere: its kernel, its types, its CPUs. A leaf.

By the standard library alone: it is read on hosts, too.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from policy_lake.errors import InputError
from policy_lake.files import read_outside
from policy_lake.topology import HostCpus

HOST_FILE_BYTES = 1 << 16
SHA256 = re.compile("[0-9a-f]{64}")
# What sched_ext can do, by a name that only such a kernel's types have, and since which version. From kernel 7.3's
# source and the headers that scx keeps for older ones; what was not pinned there has no version.
FEATURES: dict[str, tuple[str, str]] = {
    "sched_ext": ("sched_ext_ops", "6.12"),
    "hotplug callbacks": ("cpu_online", "6.12"),
    "scx_bpf_dsq_insert": ("scx_bpf_dsq_insert", "6.13"),
    "event counters": ("scx_bpf_events", "6.15"),
    "cgroup bandwidth": ("cgroup_set_bandwidth", "6.17"),
    "dsq_insert that answers": ("scx_bpf_dsq_insert___v2", "6.19"),
    "sub-schedulers": ("scx_bpf_sub_dispatch", "7.1"),
    "cid ops": ("sched_ext_ops_cid", ""),
}


@dataclass(frozen=True, slots=True)
class HostFile:
    """A host: digests are SHA-256 in hex, `kernel_sha256` of its bzImage, empty where that could not be read.

    `features` are keys of FEATURES. Nothing of its command line, its disks or its users is in it.
    """

    audience: str
    kernel: str
    btf_sha256: str
    cpus: HostCpus
    kernel_sha256: str = ""
    features: tuple[str, ...] = ()
    machine: str = "x86_64"
    v: int = 1


def features_in(btf: bytes) -> tuple[str, ...]:
    """What a kernel with these types can do; empty without sched_ext."""
    found = tuple(name for name, (word, _) in FEATURES.items() if b"\0" + word.encode() + b"\0" in btf)
    return found if "sched_ext" in found else ()


def written(host: HostFile) -> str:
    """The file's text."""
    return json.dumps(asdict(host), indent=1, sort_keys=True) + "\n"


def read_host_file(path: Path) -> HostFile:
    """The host that a file tells of; InputError that names the file and what is wrong with it."""
    try:
        return host_of(json.loads(read_outside(path, HOST_FILE_BYTES)))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a host file of `schedcp host describe`: {_fault(error)}") from error


def host_of(data: Any) -> HostFile:
    """The host that JSON tells of, whoever wrote it; ValueError that says what is wrong with it."""
    try:
        if unknown := sorted(set(data) - {field.name for field in fields(HostFile)}):
            raise ValueError(f"{unknown[0]!r} is no member of a host file")
        if data.get("v") != 1:
            raise ValueError(f"version {data.get('v')!r:.20} is not 1")
        cpus = HostCpus(**data["cpus"])
        host = HostFile(**{**data, "cpus": cpus, "features": tuple(data.get("features", ()))})
        _check(host)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(_fault(error)) from error
    return host


def _check(host: HostFile) -> None:
    for name in ("btf_sha256", "kernel_sha256"):
        digest = getattr(host, name)
        if not isinstance(digest, str) or not (SHA256.fullmatch(digest) or (name == "kernel_sha256" and not digest)):
            raise ValueError(f"{name} is no SHA-256 in hex")
    for name in ("audience", "kernel", "machine"):
        text = getattr(host, name)
        if not isinstance(text, str) or not 0 < len(text) <= 300 or not text.isprintable():
            raise ValueError(f"{name} is no line of text")
    for field in ("cpus", "llcs", "smt", "nodes"):
        count = getattr(host.cpus, field)
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= 1 << 16:
            raise ValueError(f"cpus.{field} is no count")
    if not isinstance(host.cpus.unequal, bool) or not set(host.features) <= set(FEATURES):
        raise ValueError("cpus.unequal is no truth value, or a feature is unknown")


def _fault(error: Exception) -> str:
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())[:160]

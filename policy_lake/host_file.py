# SPDX-License-Identifier: Apache-2.0
"""A host as `schedcp host describe` writes it, for a verifier elsewhere: its kernel, its types, its CPUs. A leaf.

By the standard library alone: it is read on hosts, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from policy_lake.errors import InputError
from policy_lake.files import read_outside
from policy_lake.strict_json import strict_object
from policy_lake.topology import HostCpus

HOST_FILE_BYTES = 1 << 16
SHA256 = re.compile("[0-9a-f]{64}")
RELEASE = re.compile(r"[A-Za-z0-9][\w.+~-]{0,99}", re.ASCII)  # it becomes a part of paths
MACHINE = "x86_64"
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
    machine: str = MACHINE
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
        return host_of(strict_object(read_outside(path, HOST_FILE_BYTES), most=HOST_FILE_BYTES))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a host file of `schedcp host describe`: {_fault(error)}") from error


def host_of(data: Mapping[str, Any]) -> HostFile:
    """The host that a JSON object tells of, whoever wrote it; ValueError that says what is wrong with it."""
    _members(data, HostFile, "a host file")
    if "v" not in data:
        raise ValueError("'v' is missing")
    if type(data["v"]) is not int or data["v"] != 1:
        raise ValueError(f"version {json.dumps(data['v']):.20} is not 1")
    counts, features = data["cpus"], data.get("features", ())
    if not isinstance(counts, Mapping):
        raise ValueError("cpus is no object")
    _members(counts, HostCpus, "cpus")
    if not isinstance(features, list | tuple) or not all(isinstance(name, str) for name in features):
        raise ValueError("features is no list of words")
    host = HostFile(**{**data, "cpus": HostCpus(**counts), "features": tuple(features)})
    _check(host)
    return host


def _members(data: Mapping[str, Any], kind: type[HostFile | HostCpus], what: str) -> None:
    known = {field.name: field for field in fields(kind)}
    if unknown := sorted(set(data) - set(known)):
        raise ValueError(f"{unknown[0]!r:.80} is no member of {what}")
    for name, field in known.items():
        if field.default is MISSING and name not in data:
            raise ValueError(f"{name!r} is missing in {what}")


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
    if not RELEASE.fullmatch(host.kernel):
        raise ValueError("kernel is no release, such as 6.12.9-amd64")
    if host.machine != MACHINE:
        raise ValueError(f"machine {host.machine[:40]!r} is not {MACHINE}, the only one that is verified for")
    # Not more than that: siblings that are offline, or cores without any, leave a host with uneven counts.
    if host.cpus.llcs + host.cpus.smt - 1 > host.cpus.cpus or host.cpus.nodes > host.cpus.cpus:
        raise ValueError(f"cpus: {host.cpus}: more LLCs, threads of a core or nodes than so few CPUs can have")
    if not isinstance(host.cpus.unequal, bool) or not set(host.features) <= set(FEATURES):
        raise ValueError("cpus.unequal is no truth value, or a feature is unknown")


def _fault(error: Exception) -> str:
    return " ".join(str(error).split())[:160]

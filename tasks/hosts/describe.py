# SPDX-License-Identifier: Apache-2.0
"""A host as its agent tells of it, for `verify --for`. What it sends is read as anybody's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policy_lake.errors import InfraError
from policy_lake.host_file import HostFile, host_of
from policy_lake.show import for_terminal
from tasks.hosts.reach import Address, ask

MEMBERS = ("audience", "kernel", "btf_sha256", "cpus")

DESCRIBE_S = 30.0  # it digests the kernel's types; a host under load took 10 s


def describe_elsewhere(address: Address) -> HostFile:
    """What the agent says of its host; InfraError where it does not answer, or with what describes none.

    It tells no digest of its kernel's image: the kernel is known by its release and its types.
    """
    answer = ask(address, "describe", timeout_s=DESCRIBE_S)
    if not answer.ok:
        raise InfraError(f"host {address.host}: {answer.code}: {for_terminal(answer.message)}")
    try:
        return _host(answer.fields)
    except ValueError as error:
        raise InfraError(f"host {address.host}: its agent describes no host: {for_terminal(error)}") from error


def _host(told: Mapping[str, Any]) -> HostFile:
    features = ["sched_ext"] if told.get("sched_ext") is True else []
    return host_of({**{name: told.get(name) for name in MEMBERS}, "features": features, "v": 1})

# SPDX-License-Identifier: Apache-2.0
"""What the commands of `schedcp fleet` print with `--json`, as records."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.hosts.records import FleetOrder
from tasks.hosts.status import HostStatus


@dataclass(frozen=True, slots=True)
class FleetOutput:
    """A fleet as it is; `whole`: every host is up and its agent answers. `seconds` that `up` took, else 0."""

    order: FleetOrder
    hosts: tuple[HostStatus, ...]
    whole: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class FleetHostOutput:
    """One host after `restart`."""

    host: HostStatus


@dataclass(frozen=True, slots=True)
class FleetDownOutput:
    """A fleet that is down; `ended` hosts ran, and with `kept` their disks are still there."""

    name: str
    ended: int
    kept: bool

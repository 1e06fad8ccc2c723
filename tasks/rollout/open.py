# SPDX-License-Identifier: Apache-2.0
"""A rollout's hosts as they are named: one of our fleets', or any whose agent listens somewhere; and the lake."""

from __future__ import annotations

import hashlib
import re
from functools import partial

from policy_lake.errors import InputError
from policy_lake.policy_key import policy_key
from tasks.host.lake import open_lake
from tasks.host.settings import Settings, load_settings
from tasks.hosts.places import address_of
from tasks.hosts.reach import Address, ask
from tasks.rollout.agent_host import Channel
from tasks.rollout.carried import object_in
from tasks.rollout.ready import check_ready
from tasks.rollout.spec import Opened, RolloutSpec, open_rollout

# NAME@ADDRESS:PORT, NAME being what stands in the host's certificate.
_ELSEWHERE = re.compile(r"([A-Za-z0-9][A-Za-z0-9.-]{0,99})@([A-Za-z0-9.:-]{1,255}):([0-9]{1,5})", re.ASCII)


def open_spec(spec: RolloutSpec) -> Opened:
    """The rollout as it may begin; InputError for a host that there is not, before anything reaches another.

    Errors as of `check_hosts`.
    """
    settings = load_settings()
    check_hosts(spec, settings)
    return open_rollout(spec, open_lake(settings), [channel_of(host, settings) for host in spec.hosts])


def check_hosts(spec: RolloutSpec, settings: Settings) -> None:
    """Ask every host, those that are left out, too, how it is: errors as of tasks.rollout.ready.check_ready."""
    key = policy_key(hashlib.sha256(object_in(spec.object)).hexdigest(), spec.knobs)
    named, without = ([channel_of(host, settings) for host in hosts] for hosts in (spec.hosts, spec.without))
    check_ready(named, key, without=without)


def channel_of(host: str, settings: Settings) -> tuple[str, Channel]:
    """A host's name and how to ask its agent. InputError as of `address_of_host`."""
    address = address_of_host(host, settings)
    return address.host, partial(ask, address)


def address_of_host(host: str, settings: Settings) -> Address:
    """Where a host's agent is: `fleet-1`, or `web-1@10.0.0.7:7373` by SCHEDCP_CERTIFICATES.

    InputError for one that is neither.
    """
    if "@" not in host:
        return address_of(host, settings)
    known = _ELSEWHERE.fullmatch(host)
    if not known or not 0 < int(known[3]) < 1 << 16:
        raise InputError(f"host '{host[:80]}': a host elsewhere is NAME@ADDRESS:PORT")
    certificates = settings.certificates
    if certificates is None or not certificates.is_dir():
        raise InputError(f"host {known[1]}: set SCHEDCP_CERTIFICATES to the directory with our certificate")
    return Address(known[1], int(known[3]), certificates, known[2])

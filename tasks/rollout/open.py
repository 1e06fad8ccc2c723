# SPDX-License-Identifier: Apache-2.0
"""A rollout's hosts by the names of a fleet, and the lake of this data directory."""

from __future__ import annotations

from functools import partial

from policy_lake.errors import InputError
from tasks.host.lake import open_lake
from tasks.host.settings import load_settings
from tasks.hosts.fleet import addresses
from tasks.hosts.reach import ask
from tasks.rollout.spec import Opened, RolloutSpec, open_rollout


def open_spec(spec: RolloutSpec) -> Opened:
    """The rollout as it may begin; InputError for a host that the fleet has not."""
    settings = load_settings()
    known = addresses(spec.fleet, settings)
    if unknown := [name for name in spec.hosts if name not in known]:
        raise InputError(f"fleet {spec.fleet} has no host '{unknown[0][:60]}'; it has {', '.join(known)}")
    names = spec.hosts or tuple(known)
    return open_rollout(spec, open_lake(settings), [(name, partial(ask, known[name])) for name in names])

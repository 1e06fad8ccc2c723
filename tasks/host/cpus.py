# SPDX-License-Identifier: Apache-2.0
"""The guests that a policy for this host has to pass in."""

from __future__ import annotations

from collections.abc import Sequence

from policy_lake.host_cpus import read_host_cpus
from policy_lake.host_file import read_host_file
from policy_lake.topology import Topology, outside
from tasks.host.settings import Settings
from verifier_vm.judge.suite import SuiteTier, parts


def topologies_for(settings: Settings, tier: SuiteTier, met: Sequence[Topology] = ()) -> tuple[Topology, ...]:
    """What to try a policy on beside what it has `met`, by default the tier's own guests: what the settings ask for,
    and what this host is like, or that of `for_host`.

    A host that no guest can be like is left out: a token then does not hold there, and `token check` says why.
    """
    known = list(met) or [part.topology or Topology() for part in parts(tier)]
    asked = tuple(topology for topology in settings.more_topologies if topology not in known)
    host = read_host_file(settings.for_host).cpus if settings.for_host else read_host_cpus()
    like = host.like_it() if outside(host, [*asked, *known]) else None
    return asked if like is None or outside(host, [like]) else (*asked, like)

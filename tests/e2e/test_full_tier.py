# SPDX-License-Identifier: Apache-2.0
"""The full tier on a real Ray: a guest for each topology, one verdict of all, and none where a guest could not say."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpf.build import compile_policy
from policy_lake.errors import InfraError
from policy_lake.topology import Topology
from tasks.fleet.cluster import Cluster
from tasks.fleet.fan_out import Failure, ItemOutcome
from tasks.host.guest import Shape
from tasks.host.settings import load_settings
from tasks.trial import full
from tasks.trial.full import verify_full_tier
from verifier_vm.judge.suite import parts
from verifier_vm.verdict import stage_of, verdict_of

pytestmark = [pytest.mark.vm, pytest.mark.timeout(300)]
ACCEPTED = verdict_of([stage_of("kernel", 0.1)])
PLANTED = Path(__file__).parent.parent / "policies"


@pytest.fixture
def aborting(guest) -> bytes:
    """A policy that every guest rejects as soon as something runs under it."""
    source = (PLANTED / "abort_fails.bpf.c").read_text()
    return compile_policy(source, name="abort_fails", vmlinux_dir=guest.kernel.headers).data


def test_every_topology_has_its_say_in_one_verdict(ray_cluster: Cluster, aborting: bytes) -> None:
    heard: list[tuple[str, bool]] = []
    verdict = verify_full_tier(
        aborting, (), load_settings(), Shape(Topology()), on_part=lambda name, _, ok: heard.append((name, ok))
    )
    assert sorted(heard) == sorted((part.name, False) for part in parts("full"))
    assert not verdict.accepted and verdict.rejection
    assert len({stage.name for stage in verdict.stages}) == len(verdict.stages)


def test_guests_that_could_not_say_leave_no_verdict(ray_cluster: Cluster, aborting: bytes) -> None:
    hasty = load_settings().model_copy(update={"trial_deadline_s": 0.5})
    with pytest.raises(InfraError, match=f"verify: none of {len(parts('full'))} ended well"):
        verify_full_tier(aborting, (), hasty, Shape(Topology()))


def test_three_of_four_topologies_are_no_verdict(ray_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = [
        ItemOutcome(0, failure=Failure("infra", "the disk is full")),
        *(ItemOutcome(i, ACCEPTED) for i in (1, 2, 3)),
    ]
    monkeypatch.setattr(full, "fan_out", lambda *args, **options: outcomes)
    with pytest.raises(InfraError, match=f"full tier, {parts('full')[0].name}: the disk is full"):
        verify_full_tier(b"", (), load_settings(), Shape(Topology()))

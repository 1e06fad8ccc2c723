# SPDX-License-Identifier: Apache-2.0
"""What the agent tells of itself and of its host."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from host_agent.agent import Agent
from verifier_vm.tokens.terms import VERIFIER_VERSION


def status(agent: Agent) -> dict[str, Any]:
    """One of the five words with its reason, what is attached, and what stands in the way of attaching."""
    found, on = agent.finding, agent.on
    grant = on.grant if on else agent.paused
    return {
        "status": found.status.value, "reason": found.reason, "forbidden": agent.forbidden(),
        "scx": asdict(agent.kernel.steady_scx()),
        "policy": grant.token.policy if grant else "", "object_sha256": grant.wanted.object_sha256 if grant else "",
        "stage": grant.wanted.stage if grant else "", "mode": grant.mode if grant else "",
        "ops": on.held.ops if on else "", "attached_s": agent.clock() - on.since if on else 0.0,
        "ended": dict(zip(("why", "reason"), agent.ended, strict=True)),
        "breakers": {key: known.state for key, known in agent.breakers.items().items()},
        "host_class": agent.config.host_class,
        "counts": agent.counts.told(), "audit_head": asdict(agent.audit.head), "records_ok": agent.journal.healthy,
    }  # fmt: skip


def described(agent: Agent) -> dict[str, Any]:
    """The host file: what a token for this host has to name."""
    host, config = agent.kernel.host(), agent.config
    return {
        "kernel": host.kernel, "btf_sha256": host.btf_sha256, "cpus": asdict(host.cpus), "audience": config.who,
        "host_class": config.host_class, "hotplug": config.hotplug, "verifier_version": VERIFIER_VERSION,
        "sched_ext": bool(agent.kernel.scx().state),
    }  # fmt: skip

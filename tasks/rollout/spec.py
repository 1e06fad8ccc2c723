# SPDX-License-Identifier: Apache-2.0
"""A rollout as a value, which a flow is given, and what it is opened to: hosts, evidence, the course itself."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from policy_lake.errors import InputError
from policy_lake.files import read_outside
from policy_lake.lake import Lake
from policy_lake.rollout import RolloutPlan
from tasks.rollout.agent_host import AgentHost, Channel, Order
from tasks.rollout.carried import TOKEN_BYTES, object_in, token_files
from tasks.rollout.drive import Rollout
from tasks.rollout.evidence import Evidence
from tasks.rollout.ready import Patient
from verifier_vm.tokens.audit_log import HEAD, LOG
from verifier_vm.tokens.revocation import REVOCATIONS

LOG_BYTES = 512 << 10  # in base64 a request of an agent's longest line
# What becomes of a step that is in doubt or wants a person: the flow pauses for one, or it ends there.
OnDoubt = Literal["ask", "stop"]


@dataclass(frozen=True, slots=True)
class RolloutSpec:
    """One rollout: which object by which tokens, onto which hosts, by which plan.

    `trust` is a directory with the verifier's log, its head and the revocations, which hosts are told of first; empty:
    they know. `tokens` and `object` are files, or both the one word `oci:DIR:NAME`. `hosts` are in the order in which
    the steps take them, as `tasks.rollout.open` reads them; `without` were left out. Files are read when it begins.
    """

    id: str
    plan: RolloutPlan
    tokens: tuple[str, ...]
    object: str
    hosts: tuple[str, ...]
    policy: str
    workload: str = ""
    knobs: tuple[str, ...] = ()
    trust: str = ""
    on_doubt: OnDoubt = "ask"
    seed: int = 0
    without: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.id


@dataclass(frozen=True, slots=True)
class Opened:
    """A rollout that may begin."""

    rollout: Rollout
    evidence: Evidence
    channels: tuple[tuple[str, Channel], ...] = ()


def order_of(spec: RolloutSpec) -> Order:
    """Token files and object as they are now; InputError that names one that is no plain file of its size."""
    tokens = tuple(content for _, content in token_files(spec.tokens))
    return Order(tokens, object_in(spec.object), spec.knobs, trust=_trust(spec.trust))


def _trust(directory: str) -> dict[str, Any]:
    """What the agents' `trust` request takes; InputError for a file that is not there or no JSON."""
    if not directory:
        return {}
    told: dict[str, Any] = {"log": base64.b64encode(read_outside(Path(directory) / LOG, LOG_BYTES)).decode()}
    for member, name in (("head", HEAD), ("revocations", REVOCATIONS)):
        path = Path(directory) / name
        try:
            told[member] = json.loads(read_outside(path, TOKEN_BYTES))
        except (ValueError, RecursionError):
            raise InputError(f"{path}: not JSON") from None
    return told


def open_rollout(spec: RolloutSpec, lake: Lake, channels: Sequence[tuple[str, Channel]]) -> Opened:
    """The rollout over these hosts; its record is in the lake before anything reaches one."""
    order = order_of(spec)
    channels = [(name, Patient(channel)) for name, channel in channels]
    hosts = [AgentHost(name, channel, order) for name, channel in channels]
    evidence = Evidence.begin(
        lake, spec.id, spec.plan, [host.name for host in hosts], policy=spec.policy, workload=spec.workload,
        token_sha256=hashlib.sha256(order.tokens[0]).hexdigest(),
    )  # fmt: skip
    return Opened(Rollout(spec.plan, hosts, evidence.tell, spec.seed), evidence, tuple(channels))

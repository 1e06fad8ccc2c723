# SPDX-License-Identifier: Apache-2.0
"""What one run measured, kept under the digest of all that it is a function of; a leaf beside model.py."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field

from policy_lake.machine_model import Costs, Paid
from policy_lake.model import Clock, Rejection


@dataclass(frozen=True, slots=True)
class RunInputs:
    """All that a run by the virtual clock is a function of.

    `snapshot` names the guest that it starts from: kernel, image, QEMU, topology and memory, the workload's files and
    warm-up, and the policy, which is attached in it. `program` is what runs in it, `metrics` what is read from its
    output. `costs` are what scheduling costs there (None: nothing but instructions takes time). `work_seed` varies the
    work, `guest_seed` the guest's random numbers and the phase of its timer. The rest says in plain words what of it is
    in the snapshot's name already (SHA-256; `object_sha256` is empty for EEVDF).
    """

    snapshot: str
    clock: str
    program: tuple[str, ...]
    metrics: tuple[str, ...]
    work_seed: int
    guest_seed: int
    kernel_sha256: str
    image_sha256: str
    qemu: str
    cpus: int
    llcs: int
    smt: int
    nodes: int
    memory_mib: int
    workload_sha256: str
    object_sha256: str = ""
    arguments: tuple[str, ...] = ()
    costs: Costs | None = None

    @property
    def key(self) -> str:
        """128 bits of SHA-256 in hex, the measurement's id."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one run came to: the workload's metrics by name, or why it failed under the policy.

    `switch_hash` and `fingerprint` cover every context switch and every slot of every vCPU with its virtual time: two
    computations of one run have the same. `virtual_s` is the guest's time, `paid` what the inputs' costs took of its
    CPUs' time. `id` is the inputs' key. `host` says who computed it, which is no part of what a run came to.
    """

    id: str
    workload: str
    policy: str
    inputs: RunInputs
    metrics: dict[str, float] = field(default_factory=dict)
    rejection: Rejection | None = None
    kernel: str = ""
    accel: str = ""
    clock: Clock = "virtual"
    fingerprint: str = ""
    switch_hash: str = ""
    virtual_s: float = 0.0
    paid: Paid | None = None
    host: str = field(default="", compare=False)

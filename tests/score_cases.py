# SPDX-License-Identifier: Apache-2.0
"""What a score's tests have in common: where it was taken, in a guest that never was."""

from __future__ import annotations

from typing import Any

from policy_lake.scores import MeasurementPlan, Provenance

PROVENANCE = Provenance(
    kernel_sha256="k" * 64, image_sha256="i" * 64, qemu="10.0.2", clock="vclock-1", cpus=2, llcs=1, smt=1, nodes=1,
    memory_mib=512, workload_file="", workload_sha256="w" * 64, object_sha256="ab" * 32, arguments=(),
    plan=MeasurementPlan(5, 15, 1),
)  # fmt: skip


def provenance(**changes: Any) -> Provenance:
    """The same with these fields changed."""
    fields = {name: getattr(PROVENANCE, name) for name in PROVENANCE.__dataclass_fields__}
    return Provenance(**{**fields, **changes})

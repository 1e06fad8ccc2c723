# SPDX-License-Identifier: Apache-2.0
"""A candidate as a loader takes it, and what its score is a function of."""

from __future__ import annotations

import hashlib
from pathlib import Path

from benchmarks.workloads import Workload, descriptor_sha256, workload_files
from bpf.build import compile_policy
from bpf.library import read_policy
from policy_lake.model import Candidate
from policy_lake.scores import Provenance
from tasks.host.guest import Guest
from tasks.host.settings import Settings
from tasks.trial.spec import Loadable, TrialSpec
from tasks.trial.words import words_for
from verifier_vm.machine.kernel import Kernel
from verifier_vm.machine.qemu import qemu_version
from verifier_vm.machine.snapshot import content_sha256


def arguments_of(candidate: Candidate, data: bytes, kernel: Kernel) -> tuple[str, ...]:
    """The loader's `NAME=VALUE` words of a candidate whose object is `data`; InputError for one that it has not."""
    policy = read_policy(candidate.source, candidate.policy, "composed")
    return words_for(policy, candidate.knob_values, data, kernel)


def loadable(candidate: Candidate, guest: Guest) -> Loadable:
    """The candidate compiled, with its knobs as the loader wants them. BuildError when it does not compile."""
    built = compile_policy(candidate.source, name=candidate.policy, vmlinux_dir=guest.kernel.headers)
    return Loadable(built.data, arguments_of(candidate, built.data, guest.kernel), candidate.policy)


def qemu_name() -> str:
    """QEMU's version as it is recorded."""
    return ".".join(map(str, qemu_version()))


def is_found_by_id(workload: Workload, settings: Settings) -> bool:
    """Whether any host that has the workload finds it under its id: where it lies there says nothing of a score."""
    known = workload_files(settings.workload_dir).get(workload.id)
    return known is not None and known.resolve() == Path(workload.file).resolve()


def provenance_of(spec: TrialSpec, policy: Loadable | None, guest: Guest) -> Provenance:
    """All that the score of `policy` (None: EEVDF against itself) is a function of."""
    machine, workload = guest.machine, spec.workload
    topology, binary = machine.topology, spec.workload.binary
    return Provenance(
        kernel_sha256=guest.kernel.sha256,
        image_sha256=content_sha256(machine.initrd),
        qemu=qemu_name(),
        clock=machine.clock.stem if machine.clock else "",
        cpus=topology.cpus,
        llcs=topology.llcs,
        smt=topology.smt,
        nodes=topology.nodes,
        memory_mib=machine.memory_mib,
        workload_file="" if is_found_by_id(workload, spec.settings) else workload.file,
        workload_sha256=descriptor_sha256(workload),
        object_sha256=hashlib.sha256(policy.data).hexdigest() if policy else "",
        arguments=policy.arguments if policy else (),
        plan=spec.plan,
        numbers=dict(workload.asked),
        binary=binary.path if binary else "",
        binary_sha256=binary.sha256 if binary else "",
        control=spec.control.id if spec.control else "",
        files=spec.files,
        machine=spec.shape.machine,
        costs=spec.shape.costs,
        taken_as=spec.shape.said,
        machine_from=spec.settings.machine if spec.shape.costs else "",
    )

# SPDX-License-Identifier: Apache-2.0
"""Verdicts that are known: of accepted objects, and only for the same one in the same guest by the same checks."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.workloads import workload
from policy_lake.machine_model import Costs
from policy_lake.model import Candidate, Finding, Stage, Verdict
from policy_lake.topology import Topology
from tasks.host.guest import Guest, Shape
from tasks.host.settings import Settings
from tasks.trial import known
from tasks.trial.spec import RunWork, TrialSpec
from verifier_vm.machine.kernel import Kernel
from verifier_vm.machine.model import Model, TaskLayout
from verifier_vm.machine.qemu import Machine
from verifier_vm.verdict import stage_of, verdict_of

DATA, ARGUMENTS = b"object", ("slice_ns=5",)


@pytest.fixture
def guest():
    kernel = Kernel("7.3.4", Path("/k/bzImage"), Path("/k"), "sha", "btf")
    return Guest(Machine(Path("/k/bzImage"), Path("/i/abc.cpio"), clock=Path("/c/vclock-1.so")), kernel)


@pytest.fixture
def settings(tmp_path):
    return Settings(cache_dir=tmp_path)


def verdict(*, stalls: bool = False) -> Verdict:
    findings = [Finding("F01", "reject", "stalls")] if stalls else []
    stages: list[Stage] = [stage_of("kernel", 0.1, []), stage_of("survive", 1.0, findings)]
    return verdict_of(stages, ops="ljf", data=DATA, kernel="7.3.4")


def test_what_was_accepted_here_is_known(guest, settings):
    accepted = verdict()
    assert known.known_verdict(DATA, ARGUMENTS, guest, settings) is None
    known.remember(accepted, DATA, ARGUMENTS, guest, settings)
    assert known.known_verdict(DATA, ARGUMENTS, guest, settings) == accepted


def test_a_rejection_is_not_kept(guest, settings):
    known.remember(verdict(stalls=True), DATA, ARGUMENTS, guest, settings)
    assert known.known_verdict(DATA, ARGUMENTS, guest, settings) is None


def test_another_object_argument_kernel_image_clock_or_topology_is_not_known(guest, settings):
    known.remember(verdict(), DATA, ARGUMENTS, guest, settings)
    machine = guest.machine
    others = [
        replace(guest, kernel=replace(guest.kernel, btf_sha256="other")),
        replace(guest, machine=replace(machine, initrd=Path("/i/other.cpio"))),
        replace(guest, machine=replace(machine, clock=None)),
        replace(guest, machine=replace(machine, topology=Topology(4))),
        replace(guest, machine=replace(machine, model=Model(Costs(switch_ns=1), TaskLayout(8, 16)))),
    ]
    assert known.known_verdict(b"other", ARGUMENTS, guest, settings) is None
    assert known.known_verdict(DATA, ("slice_ns=6",), guest, settings) is None
    assert all(known.known_verdict(DATA, ARGUMENTS, other, settings) is None for other in others)


def test_other_checks_know_nothing(guest, settings, monkeypatch):
    known.remember(verdict(), DATA, ARGUMENTS, guest, settings)
    monkeypatch.setattr(known, "checks_digest", lambda: "of other checks")
    assert known.known_verdict(DATA, ARGUMENTS, guest, settings) is None


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"accepted": true}'])
def test_a_damaged_verdict_is_not_known(guest, settings, damage):
    known.remember(verdict(), DATA, ARGUMENTS, guest, settings)
    (kept,) = (settings.cache_dir / "verdicts").iterdir()
    kept.write_bytes(damage)
    assert known.known_verdict(DATA, ARGUMENTS, guest, settings) is None


def test_a_kept_verdict_turned_into_a_rejection_is_not_known(guest, settings):
    known.remember(verdict(), DATA, ARGUMENTS, guest, settings)
    (kept,) = (settings.cache_dir / "verdicts").iterdir()
    kept.write_text(kept.read_text().replace('"accepted": true', '"accepted": false'))
    assert known.known_verdict(DATA, ARGUMENTS, guest, settings) is None


def test_a_trial_that_says_nothing_of_it_is_judged_anew_and_its_runs_are_measured_ones(settings):
    spec = TrialSpec(Candidate("c", "", 0, "ljf", "", {}, "", ""), workload("batch"), Shape(Topology()), settings)
    assert spec.known_suffices is False, "a verdict that is known is enough for a score, never for a token"
    assert RunWork(spec.workload, spec.shape, settings, None, 1, 1).traced is False

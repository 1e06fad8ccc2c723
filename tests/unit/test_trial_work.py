# SPDX-License-Identifier: Apache-2.0
"""What a worker asks of the gate for a candidate."""

from __future__ import annotations

from dataclasses import replace

import pytest
from trial_cases import guest_in, spec, use_guest

from bpf.build import PolicyObject
from tasks.trial import work as worker
from tasks.trial.static import Checked
from verifier_vm.judge.gate import ObjectVerdict
from verifier_vm.verdict import stage_of, verdict_of


@pytest.mark.parametrize(
    ("callbacks", "promised"),
    [(("cpu_online", "cpu_offline"), {"cgroups": False, "hotplug": True}),
     (("cgroup_init",), {"cgroups": True, "hotplug": False})],
)  # fmt: skip
def test_the_guests_suite_is_of_what_the_policy_promises(tmp_path, monkeypatch, callbacks, promised):
    guest, asked = guest_in(tmp_path), []
    use_guest(monkeypatch, guest)

    def verify(*given, trusted, **more):
        asked.append((given, more, (trusted.func, trusted.args)))
        return ObjectVerdict(verdict_of([stage_of("survive", 0.1)]), None)

    monkeypatch.setattr(worker, "verify_object", verify)
    stages = (replace(stage_of("object", 0.1), callbacks=callbacks),)
    given = spec(tmp_path, checked=Checked(stages, PolicyObject(b"of files", "sha", 0.1, True), ("limit=3",)))
    assert worker.verify_candidate(given).verdict.accepted
    told, trusted = (
        {**promised, "deadline_s": given.settings.trial_deadline_s},
        (worker.trusted_object, (guest.kernel,)),
    )
    assert asked == [((b"of files", ("limit=3",), guest.machine), told, trusted)]

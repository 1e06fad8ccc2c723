# SPDX-License-Identifier: Apache-2.0
"""What a worker asks of the gate for a candidate."""

from __future__ import annotations

from dataclasses import replace

import pytest
from trial_cases import guest_in, spec, use_guest

from bpf.build import PolicyObject
from policy_lake.model import Finding
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


def test_a_static_stage_that_lacks_what_the_hosts_need_rejects_before_any_guest(tmp_path, monkeypatch):
    use_guest(monkeypatch, guest_in(tmp_path))
    monkeypatch.setattr(worker, "verify_object", lambda *_, **__: pytest.fail("a guest was started"))
    stages = (stage_of("object", 0.1, [Finding("F41", "note", "no cgroup ops")]),)
    settings = spec(tmp_path).settings.model_copy(update={"require": "cgroups"})
    checked = Checked(stages, PolicyObject(b"object", "sha", 0.1, True))
    made = worker.verify_candidate(spec(tmp_path, settings=settings, checked=checked))
    assert (made.verdict.rejection.stage, made.verdict.rejection.bug, made.policy) == ("object", "F41", None)


def test_a_candidate_is_checked_with_the_words_that_its_knobs_become(tmp_path, monkeypatch):
    guest, asked, given = guest_in(tmp_path), [], spec(tmp_path)
    use_guest(monkeypatch, guest)

    def check(parts, kernel, *, words_of):
        asked.append((parts[0].name, kernel, words_of(b"made")))
        return Checked((stage_of("build", 0.1, [Finding("F03", "reject", "a queue")]),), None)

    monkeypatch.setattr(worker, "arguments_of", lambda *of: of)
    monkeypatch.setattr(worker, "check_parts", check)
    assert not worker.verify_candidate(given).verdict.accepted
    assert asked == [("ljf.bpf.c", guest.kernel, (given.candidate, b"made", guest.kernel))]

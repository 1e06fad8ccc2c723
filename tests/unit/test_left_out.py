# SPDX-License-Identifier: Apache-2.0
"""The condition of dispatch by which a queue is left out: the suspicion names its line, where one decides."""

from __future__ import annotations

import pytest
from object_cases import object_bytes, source_of

from verifier_vm.object.analyse import read_facts
from verifier_vm.object.check_queues import check_queues

NAME = "f03_one_pid_fails"


@pytest.mark.parametrize("is_known", [True, False])
def test_the_condition_that_leaves_a_queue_out_is_named_by_its_line(is_known: bool) -> None:
    facts = read_facts(object_bytes(NAME))
    if not is_known:
        facts.record.tests.clear()
    (found,) = (one for one in check_queues(facts) if one.level == "suspicion" and "not have looked" in one.reason)
    lines = source_of(NAME).read_text().splitlines()
    dispatch = next(at for at, line in enumerate(lines, 1) if "_dispatch, s32" in line)
    condition = next(at for at, line in enumerate(lines, 1) if at > dispatch and "sx_dsq_nr_queued" in line)
    named = found.reason.endswith(f"by the condition at {NAME}.bpf.c:{condition}")
    assert named is is_known and found.reason.endswith("unknown here") is not is_known

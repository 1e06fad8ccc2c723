# SPDX-License-Identifier: Apache-2.0
"""The cases that others handed in, judged as they are: nightly (WHOLE_CORPUS=1), where they are on the machine."""

from __future__ import annotations

import os

import pytest
from given_cases import CASES, PLACE

from tasks.host.settings import load_settings
from tasks.verify import verify

pytestmark = [
    pytest.mark.vm,
    pytest.mark.skipif(not PLACE.is_dir(), reason="the cases are not on this machine"),
    pytest.mark.skipif(not os.environ.get("WHOLE_CORPUS"), reason="minutes: WHOLE_CORPUS=1"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_verdict_is_right_and_so_is_its_reason(guest, case):
    (path,) = PLACE.glob(f"*/{case.name}.bpf.c")
    verdict = verify(path, load_settings()).verdict
    if case.stage:
        rejection = verdict.rejection
        assert rejection and rejection.stage in case.stage.split(" or ") and rejection.bug == case.bug, rejection
        return
    assert verdict.accepted, verdict.rejection
    assert not case.bug or case.bug in {finding.bug for stage in verdict.stages for finding in stage.findings}

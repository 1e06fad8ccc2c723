# SPDX-License-Identifier: Apache-2.0
"""Compositions at random pass every stage that needs no guest, with nothing said against them."""

from __future__ import annotations

import pytest
from compositions import some_compositions
from skipping import skip_or_fail

from bpf import headers
from bpf.compose import compose
from policy_lake.errors import SchedcpError
from tasks.host.settings import load_settings
from tasks.trial.static import check_statically
from verifier_vm.machine.kernel import installed_kernel


@pytest.fixture(scope="module")
def kernel():
    try:
        return installed_kernel(load_settings().cache_dir)
    except SchedcpError as error:
        return skip_or_fail(f"no kernel was set up: {error}")


@pytest.mark.parametrize("made", some_compositions(21, 14), ids=lambda made: "-".join(v for _, v in made.mechanisms()))
def test_it_passes_the_static_stages(made, kernel, monkeypatch):
    monkeypatch.setattr(headers, "CFLAGS", (*headers.CFLAGS, "-Wextra", "-Wno-unused-parameter", "-Werror"))
    checked = check_statically(compose(made), name="mine.bpf.c", kernel=kernel)
    assert checked.ok, checked.stages
    assert [stage.name for stage in checked.stages] == ["source", "build", "object"]
    found = [finding for stage in checked.stages for finding in stage.findings if finding.level != "note"]
    assert [finding for finding in found if finding.level != "unknown"] == [], found

# SPDX-License-Identifier: Apache-2.0
"""The stages before a guest, as one: here what they say of the compiler itself."""

from dataclasses import replace
from pathlib import Path

import pytest
from skipping import skip_or_fail

from bpf.build import compile_policy
from bpf.library import policy
from policy_lake.errors import SchedcpError
from tasks.host.settings import load_settings
from tasks.trial import static
from verifier_vm.machine.kernel import installed_kernel


@pytest.fixture(scope="module")
def kernel():
    try:
        return installed_kernel(load_settings().cache_dir)
    except SchedcpError as error:
        skip_or_fail(f"no kernel was set up: {error}")


@pytest.mark.parametrize("confined", [True, False])
def test_a_compiler_that_is_not_confined_is_said_in_its_stage(kernel, monkeypatch, confined):
    def compile_(*args, **options):
        return replace(compile_policy(*args, **options), confined=confined)

    monkeypatch.setattr(static, "compile_policy", compile_)
    source = Path("bpf/library/fifo.bpf.c")
    checked = static.check_statically(policy("fifo").source, name=source.name, kernel=kernel)
    assert checked.ok
    build = next(stage for stage in checked.stages if stage.name == "build")
    assert [finding.level for finding in build.findings] == ([] if confined else ["note"])
    assert confined or build.findings[0].bug == "compiler"

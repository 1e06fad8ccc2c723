# SPDX-License-Identifier: Apache-2.0
"""A real toolchain in a guest: gcc and make build something there. The kernel takes an emulator half an hour."""

from __future__ import annotations

import json

import pytest

from benchmarks.toolchain import toolchain_files
from benchmarks.workloads import at_size, workload
from policy_lake.guest import GuestJob, GuestStep
from policy_lake.topology import Topology
from tasks.host import guest as guests
from tasks.host import root
from tasks.host.settings import load_settings
from verifier_vm.machine.vm import run

pytestmark = pytest.mark.vm
MAKEFILE = r"""
tinyconfig:
	printf 'int puts(const char *);\nint main(void) { return puts("made") < 0; }\n' > $(O)/main.c
vmlinux:
	gcc -O2 -o $(O)/vmlinux $(O)/main.c
	$(O)/vmlinux | awk '{ exit $$1 != "made" }'
broken:
	gcc -o $(O)/broken $(O)/none.c
"""


@pytest.fixture(scope="module")
def events(guest, tmp_path_factory):
    """A build that succeeds, and one that fails, in a guest like that of kernel-build's tier full."""
    tree = tmp_path_factory.mktemp("src")
    (tree / "Makefile").write_text(MAKEFILE)
    wanted = at_size(workload("kernel-build"), "full")
    with pytest.MonkeyPatch.context() as patch:
        files = [*toolchain_files(), ("/src/Makefile", tree / "Makefile")]
        patch.setitem(root.ROOTS, "kernel-source", lambda cache_dir: files)
        settings = load_settings().model_copy(update={"cache_dir": tmp_path_factory.mktemp("cache")})
        patch.setattr(
            guests, "with_root", lambda image, name, cache_dir: root.with_root(image, name, settings.cache_dir)
        )
        made = guests.prepare_guest(load_settings(), guests.Shape(Topology(2)).bearing(wanted))
    assert ("half an hour or more" in made.warning) == (made.machine.accel == "tcg")
    assert made.machine.memory_mib == wanted.memory_mib and made.machine.snapshots is None
    builds = [
        GuestStep("run", ("build", "--jobs", "2", "--target", name), timeout_s=120) for name in ("vmlinux", "broken")
    ]
    return run(GuestJob({}, tuple(builds)), made.machine).events


def test_a_build_is_measured_in_the_descriptors_terms(events):
    assert events[0].ok, events[0].err
    told = json.loads(events[0].out.splitlines()[-1])
    wanted = at_size(workload("kernel-build"), "full")
    for metric in (wanted.metric, wanted.bound, *(guard.metric for guard in wanted.guards)):
        assert told[metric] > 0
    assert told["bound_ms"] <= told["makespan_ms"] and told["ok"] is True


def test_a_build_that_fails_is_no_figure(events):
    assert not events[1].ok and events[1].exit == 1
    assert json.loads(events[1].out.splitlines()[-1])["ok"] is False
    assert "none.c" in events[1].err

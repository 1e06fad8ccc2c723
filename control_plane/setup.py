# SPDX-License-Identifier: Apache-2.0
"""`schedcp setup`: the Debian packages that a run needs, the guest's kernel, vmlinux.h, guest image, probe of KVM."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from control_plane.output import err
from control_plane.progress import Shown, shown
from policy_lake.errors import InfraError
from policy_lake.secrets import child_environment
from tasks.host.in_use import hold
from tasks.host.settings import Settings, load_settings


def set_up() -> None:
    """Prepare this machine for runs; what is there already costs a look. InfraError with what to do when it cannot."""
    _packages()
    with shown(err(), "looking for the kernel", began=time.time(), label="setup ") as progress:
        _set_up(load_settings(), progress)


def _set_up(settings: Settings, progress: Shown) -> None:
    from verifier_vm.machine.kernel import fetch_kernel

    def say(text: str) -> None:
        progress.line(text)
        progress.now(text)

    hold(settings.cache_dir)
    if settings.kernel is None:
        fetch_kernel(settings.cache_dir, say)
    from bpf.library import policies
    from tasks.host.guest import prepare_guest
    from tasks.trial.static import check_statically
    from verifier_vm.machine.snapshot import origin_of

    if not any((settings.cache_dir / "images").glob("*.cpio")):
        say("guest image: compiling the guest's programs, then one boot to see what KVM is worth here")
    guest = prepare_guest(settings)
    machine = guest.machine
    # The first policy pays for the precompiled headers: better now than then.
    progress.now("the compiler's precompiled headers")
    first = policies()[0]
    check_statically(first.source, name=f"{first.id}.bpf.c", kernel=guest.kernel)
    if machine.snapshots and not any(machine.snapshots.glob("*/snapshot.json")):
        say("booting the guest that later ones start from")
    origin_of(machine)


def _packages() -> None:
    """Have the script say in its own lines what it does, or why it cannot."""
    # In a checkout setup.sh has done so before there was a Python; in a wheel nobody has.
    script = Path(__file__).with_name("packages.sh")
    if subprocess.run(["bash", str(script)], stdin=subprocess.DEVNULL, check=False, env=child_environment()).returncode:
        raise InfraError("the Debian packages that a run needs are not here: the lines above say why")

# SPDX-License-Identifier: Apache-2.0
"""Verdicts that are known: an object that was accepted here need not meet the suite again to be measured.

Only measuring goes by it, in a guest that can be lost. A token is signed on a verdict of the same run alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from policy_lake.files import atomic_write, beyond
from policy_lake.model import Verdict, from_json, to_json
from tasks.host.guest import Guest
from tasks.host.settings import Settings
from verifier_vm.tokens.checks import checks_digest

KEPT_BYTES = 64 << 20  # of verdicts: some 8 kB each


def known_verdict(data: bytes, arguments: Sequence[str], guest: Guest, settings: Settings) -> Verdict | None:
    """The accepted verdict of this object with these arguments in this guest by these checks; None if there is none."""
    try:
        verdict = from_json(Verdict, json.loads(_place(data, arguments, guest, settings).read_bytes()))
    except (OSError, ValueError):  # absent, or damaged: then it is not known
        return None
    return verdict if verdict.accepted else None


def remember(verdict: Verdict, data: bytes, arguments: Sequence[str], guest: Guest, settings: Settings) -> None:
    """Keep an accepted verdict."""
    if verdict.accepted:
        place = _place(data, arguments, guest, settings)
        atomic_write(place, json.dumps(to_json(verdict)).encode())
        for old in beyond(place.parent.glob("*.json"), room=KEPT_BYTES):
            old.unlink(missing_ok=True)


def _place(data: bytes, arguments: Sequence[str], guest: Guest, settings: Settings) -> Path:
    machine = guest.machine
    clock = machine.clock.stem if machine.clock else "wall"
    where = [
        guest.kernel.btf_sha256,
        machine.initrd.stem,
        clock,
        str(machine.topology),
        repr(machine.model),
        checks_digest(),
    ]
    name = hashlib.sha256(json.dumps([hashlib.sha256(data).hexdigest(), *arguments, *where]).encode()).hexdigest()
    return settings.cache_dir / "verdicts" / f"{name[:32]}.json"

# SPDX-License-Identifier: Apache-2.0
"""Guests kept to start others from: booted ones, and booted ones that have done a workload's warm-up.

A snapshot is a directory named after the hash of what it was made from (kernel, image, QEMU, topology, and for a warm
one the snapshot it began with and its warm-up): a RAM file per node, which guests map privately (so that what they
share is in memory once), the devices' state, and a table of hashes. It is checked before its first use in a process and
whenever a file has changed since, and made anew when it does not hold. Those last used are kept, up to a size.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path

from policy_lake.errors import InfraError, LostVMError
from policy_lake.guest import GuestJob
from policy_lake.show import logger
from verifier_vm.machine.job import encode_job
from verifier_vm.machine.process import GuestProcess, Origin
from verifier_vm.machine.qemu import Machine, Memory, command_line, qemu_version
from verifier_vm.machine.qmp import Qmp, encode_commands, load_commands
from verifier_vm.machine.snapshot_files import (
    FIRST,
    OTHER,
    STATE,
    TABLE,
    Table,
    as_at_first,
    copy_data,
    digest_of_data,
    holds,
    prune,
    read_table,
    trust,
)
from verifier_vm.machine.wire import PROTOCOL

BOOT_DEADLINE_S = 420.0
SAVE_LIMIT_S = 60.0
log = logger(__name__)


class WarmUpError(LostVMError):
    """A step of a warm-up failed, which says nothing of the host: the same steps in a job of their own tell why."""


def origin_of(machine: Machine, warm_ups: Sequence[GuestJob] = ()) -> Origin:
    """From where to start `machine`: a snapshot, taken now if there is none that holds; a boot if it keeps none.

    Each of `warm_ups` is a job that `stays`, done by a guest that is started from the snapshot after the one before.
    WarmUpError when a step of one fails.
    """
    if machine.snapshots is None:
        return Origin()
    place = machine.snapshots / snapshot_key(machine, warm_ups)
    with _locked(place.parent, place.name):
        if not holds(place):
            # What it begins with has a lock of its own, always taken after this one: no two wait for each other.
            before = origin_of(machine, warm_ups[:-1]) if warm_ups else None
            _take(
                place,
                lambda made: _warm(machine, before, warm_ups[-1], made) if before else _boot(machine, made),
                exact=machine.clock is not None,
            )
        os.utime(place / TABLE)
        table = read_table(place)
    return Origin(Memory(place), place / STATE, table.switch_address, table.steps)


def snapshot_key(machine: Machine, warm_ups: Sequence[GuestJob] = ()) -> str:
    """The name of the snapshot: 128 bits in hex, a hash of all that a guest started from it is a function of."""
    key = _key(machine)
    for job in warm_ups:
        key = hashlib.sha256(key.encode() + encode_job(job)).hexdigest()[:32]
    return key


def _key(machine: Machine) -> str:
    # Where the files lie does not matter, what is in them does; the clock's object is named after its sources.
    line = command_line(machine, 0, plugin="", memory=Memory())
    for path in (machine.kernel, machine.initrd):
        line = [word.replace(str(path), path.name) for word in line]
    clock = machine.clock.name if machine.clock else ""
    parts = [
        str(PROTOCOL),
        str(qemu_version()),
        clock,
        *line,
        content_sha256(machine.kernel),
        content_sha256(machine.initrd),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def content_sha256(path: Path) -> str:
    """SHA-256 of a file in hex, from the cache while its time stamp stays; InfraError when it cannot be read."""
    try:
        return _digest_of(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise InfraError(f"{path}: {error.strerror}") from error


@lru_cache(maxsize=16)
def _digest_of(path: Path, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _locked(directory: Path, name: str) -> Iterator[None]:
    """One process at a time: a second that wants the same guest waits for it instead of making another."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / f"{name}.lock").open("w")
    except OSError as error:
        raise InfraError(f"{directory}: snapshots cannot be kept there: {error.strerror}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _take(place: Path, take: Callable[[Path], Table], *, exact: bool) -> None:
    for left in place.parent.glob(f"taking-{place.name}-*"):  # of a process that was killed: who has the lock is alone
        shutil.rmtree(left, ignore_errors=True)
    try:
        if not _taken(place, take, exact=exact):
            log.warning("snapshot %s: not as it came out before; it is taken once more", place.name)
            if not _taken(place, take, exact=exact):
                raise _another(place)
    except OSError as error:
        raise InfraError(f"{place}: the snapshot cannot be kept: {error.strerror}") from error
    prune(place.parent, keep=place)


def _taken(place: Path, take: Callable[[Path], Table], *, exact: bool) -> bool:
    """Take it; False, and what came out kept aside, where the same inputs have made another guest before."""
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=f"taking-{place.name}-") as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        table = take(made)
        names = sorted(path.name for path in made.iterdir())
        files = {name: digest_of_data(made / name) for name in names}
        for name in names:
            (made / name).chmod(0o444)
        (made / TABLE).write_text(json.dumps({**asdict(table), "files": files}))
        same = not exact or as_at_first(place, files)
        target = place if same else place.with_name(OTHER + place.name)
        shutil.rmtree(target, ignore_errors=True)
        made.rename(target)
    if same:
        trust(place)
    return same


def _another(place: Path) -> InfraError:
    first, other = place.with_name(place.name + FIRST), place.with_name(OTHER + place.name)
    return InfraError(
        f"snapshot {place.name}: equal inputs made another guest than before ({other}), so something of this host"
        f" reaches it: runs from it are not comparable with those in the lake; to go on with the new one remove {first}"
    )


def _boot(machine: Machine, made: Path) -> Table:
    log.info("booting a guest (%s) to start others from", machine.topology)
    return _save(machine, None, Origin(Memory(made, shared=True)), made)


def _warm(machine: Machine, before: Origin, warm_up: GuestJob, made: Path) -> Table:
    """RAM copied, so that it may be changed, and the guest gone on from there."""
    assert before.memory.directory is not None
    for node in range(machine.topology.nodes):
        copy_data(before.memory.directory / f"ram{node}", made / f"ram{node}")
    origin = Origin(Memory(made, shared=True), before.incoming, before.switch_address)
    table = _save(machine, warm_up, origin, made)
    return replace(table, switch_address=before.switch_address, steps=(*before.steps, *table.steps))


def _save(machine: Machine, job: GuestJob | None, origin: Origin, made: Path) -> Table:
    """Run a guest until it is ready for the (next) job, and save its devices' state."""
    ours, theirs = socket.socketpair()
    loading = load_commands(origin.incoming) if origin.incoming else ()
    ours.sendall(encode_commands(loading))
    plain = replace(machine, model=None)  # one snapshot serves every machine that its CPUs are taken for
    with ours, theirs, GuestProcess(plain, job, origin, qmp=theirs) as guest:
        try:
            ready = guest.await_ready(time.monotonic() + BOOT_DEADLINE_S)
        except LostVMError as error:
            failed = next((event for event in guest.said.steps if not event.ok), None)
            if failed is None:
                raise
            raise WarmUpError(f"step '{failed.label}' of the warm-up failed", str(error)) from error
        guest.await_stillness(time.monotonic() + SAVE_LIMIT_S)
        guest.counts()  # InfraError where the clock gave up a wait: such a guest is no function of its inputs
        with Qmp(ours, SAVE_LIMIT_S, sent=len(loading)) as qmp:
            qmp.save(made / STATE)
            qmp.quit()
        guest.exited(SAVE_LIMIT_S)
    return Table(ready.switch_address, tuple(guest.said.step_lines), {})

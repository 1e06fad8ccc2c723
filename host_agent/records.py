# SPDX-License-Identifier: Apache-2.0
"""What a host keeps beside journal and audit log: the breakers of the policies it has met, and exit records."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

from host_agent.breaker import Breaker, Limits, revived
from policy_lake.errors import InputError
from policy_lake.exit_record import ExitRecord
from policy_lake.files import atomic_write, read_outside
from policy_lake.strict_json import strict_object
from verifier_vm.tokens.records import from_plain, to_plain

BREAKERS, EXITS = "breakers.json", "exits"
MOST_BREAKERS, MOST_EXITS = 256, 100
LARGEST = 1 << 20


class Breakers:
    """One breaker for each object, by its SHA-256; on the disk whenever one has tripped or closed."""

    def __init__(self, directory: Path, host_class: str, *, now: float, limits: Limits) -> None:
        """InputError where the file is damaged: nothing is attached then, since a quarantine may be in it."""
        self._path, self._class = directory / BREAKERS, host_class
        self._known: dict[str, Breaker] = {}
        if self._path.exists():
            try:
                data = strict_object(read_outside(self._path, LARGEST), most=LARGEST)
                known = {name: from_plain(Breaker, value) for name, value in data.items()}
            except ValueError as error:
                raise InputError(f"{self._path}: damaged: {' '.join(str(error).split())[:120]}") from None
            self._known = {name: revived(breaker, now, limits) for name, breaker in known.items()}

    def of(self, object_sha256: str) -> Breaker:
        """The breaker of an object; a closed one for an object not met before."""
        return self._known.get(object_sha256, Breaker(host_class=self._class))

    def put(self, object_sha256: str, breaker: Breaker) -> None:
        """Keeps a breaker, in memory."""
        self._known[object_sha256] = breaker

    def items(self) -> dict[str, Breaker]:
        """All that are known."""
        return dict(self._known)

    def save(self) -> None:
        """Writes those that have something to say, quarantined ones first should there be too many. InfraError."""
        telling = [
            (name, breaker) for name, breaker in self._known.items() if breaker.state != "closed" or breaker.trips
        ]
        telling.sort(key=lambda item: (item[1].state != "quarantined", -item[1].seen))
        kept = {name: to_plain(breaker) for name, breaker in telling[:MOST_BREAKERS]}
        atomic_write(self._path, json.dumps(kept).encode(), durable=True, mode=0o600)


def keep_exit(directory: Path, record: ExitRecord, **facts: Any) -> Path:
    """Writes an exit record with what it was of; the oldest beyond MOST_EXITS go. InfraError."""
    path = directory / EXITS / f"{time.time_ns()}.json"
    content = json.dumps({**facts, "exit": dataclasses.asdict(record)}).encode()
    atomic_write(path, content, durable=True, mode=0o600)
    for old in sorted(path.parent.glob("*.json"))[:-MOST_EXITS]:
        old.unlink(missing_ok=True)
    return path

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
from policy_lake.policy_key import object_of
from policy_lake.strict_json import strict_object
from verifier_vm.tokens.records import from_plain, to_plain

BREAKERS, EXITS = "breakers.json", "exits"
MOST_BREAKERS, MOST_EXITS = 256, 100
LARGEST = 1 << 20


class Breakers:
    """One breaker for each policy, by its key (policy_lake/policy_key.py); on the disk when one has tripped or closed.

    By object and knobs, since knobs make another policy of an object: it must not pay for what others did, and one
    that was quarantined must not come back since its words stand in another order. The quarantine is this host's, and
    of all hosts of its class for who asks first: a rollout begins on none of a class of which one host has it.
    """

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

    def of(self, key: str) -> Breaker:
        """The breaker of a policy; a closed one for one not met before.

        What an agent of before kept by the object alone holds for it with any knobs: nobody knows any more which.
        """
        return self._known.get(key) or self._known.get(object_of(key)) or Breaker(host_class=self._class)

    def put(self, key: str, breaker: Breaker) -> None:
        """Keeps a breaker, in memory; one that has nothing to say is as one not met before."""
        if breaker.state == "closed" and not breaker.trips and not breaker.attached:
            self._known.pop(key, None)
        else:
            self._known[key] = breaker

    def keys_of(self, object_sha256: str) -> tuple[str, ...]:
        """The keys of all policies of an object that are known."""
        return tuple(key for key in self._known if object_of(key) == object_sha256)

    def items(self) -> dict[str, Breaker]:
        """All that are known."""
        return dict(self._known)

    def save(self) -> None:
        """Writes those that have something to say, quarantined ones first should there be too many. InfraError."""
        telling = [(key, breaker) for key, breaker in self._known.items() if breaker.state != "closed" or breaker.trips]
        telling.sort(key=lambda item: (item[1].state != "quarantined", -item[1].seen))
        kept = {key: to_plain(breaker) for key, breaker in telling[:MOST_BREAKERS]}
        atomic_write(self._path, json.dumps(kept).encode(), durable=True, mode=0o600)


def keep_exit(directory: Path, record: ExitRecord, **facts: Any) -> Path:
    """Writes an exit record with what it was of; the oldest beyond MOST_EXITS go. InfraError."""
    path = directory / EXITS / f"{time.time_ns()}.json"
    content = json.dumps({**facts, "exit": dataclasses.asdict(record)}).encode()
    atomic_write(path, content, durable=True, mode=0o600)
    for old in sorted(path.parent.glob("*.json"))[:-MOST_EXITS]:
        old.unlink(missing_ok=True)
    return path

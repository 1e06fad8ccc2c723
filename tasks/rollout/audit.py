# SPDX-License-Identifier: Apache-2.0
"""The hosts' audit logs, as their agents tell them: asked for whole, or their end, and kept with a rollout.

What a host says of itself proves nothing by itself; kept here, it cannot be told otherwise later.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from policy_lake.errors import InfraError
from policy_lake.records import HostAudit
from policy_lake.show import logger
from tasks.rollout.agent_host import Channel
from verifier_vm.tokens.dsse import canonical_json
from verifier_vm.tokens.statement import is_sha256

log = logger(__name__)
KEPT = 400  # entries of a host's log that a rollout keeps
_ID = re.compile(r"(?:[0-9a-f]{32})?", re.ASCII)  # an older agent's log has none
MOST_AT_ONCE = 64
MOST_PAGES = 1000  # of an agent's answers, for a whole log


def ask_audits(channels: Iterable[tuple[str, Channel]]) -> tuple[HostAudit, ...]:
    """The end of each host's log, asked at once; one that cannot be asked, or makes no sense, is told and left out."""

    def end_of(host: tuple[str, Channel]) -> HostAudit | None:
        try:
            return ask_audit(*host, last=KEPT)
        except InfraError as error:
            log.warning("the audit log of %s is not kept: %s", host[0], error)
            return None

    hosts = list(channels)
    with ThreadPoolExecutor(max(1, min(MOST_AT_ONCE, len(hosts)))) as pool:
        return tuple(found for found in pool.map(end_of, hosts) if found)


def ask_audit(name: str, channel: Channel, *, last: int | None = None) -> HostAudit:
    """A host's log, or at least its last entries; InfraError where the host does not answer, or in other words."""
    head, since = None, 0
    if last is not None:
        _, _, head, _ = _page(name, channel, 2**53)
        since = max(0, head[0] - last)
    entries, previous, head, id = _page(name, channel, since)
    first = entries[0][0] if entries else head[0] + 1
    for _ in range(MOST_PAGES):
        if not entries or entries[-1][0] >= head[0]:
            break
        more, _, head, still = _page(name, channel, entries[-1][0])
        entries += more
        if still != id:
            raise InfraError(f"{name}: it tells of two audit logs")
        if not more:
            break
    return HostAudit(name, first, previous, tuple(text for _, text in entries), head[1], id)


def _page(name: str, channel: Channel, since: int) -> tuple[list[tuple[int, str]], str, tuple[int, str], str]:
    """Entries by number, the digest of the one before them, the log's head (number, digest) and its identity."""
    answer = channel("audit", since=since)
    if not answer.ok:
        raise InfraError(f"{name}: {answer.code}: {answer.message}")
    told, previous, head = (answer.fields.get(member) for member in ("entries", "previous", "head"))
    id = answer.fields.get("log", "")
    try:
        if not isinstance(told, list) or not isinstance(head, dict):
            raise TypeError
        entries = []
        for one in told:
            data = dict(one)
            entries.append((_number(data.pop("seq")), canonical_json(data).decode()))
        seen = (_number(head["seq"]), str(head["sha256"]))
        if not isinstance(id, str) or not _ID.fullmatch(id):
            raise ValueError
        if not isinstance(previous, str) or not is_sha256(previous) or not is_sha256(seen[1]):
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise InfraError(f"{name}: its audit log is none") from None
    return entries, previous, seen, id


def _number(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError
    return value

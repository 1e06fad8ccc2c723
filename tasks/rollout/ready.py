# SPDX-License-Identifier: Apache-2.0
"""Whether every host of a rollout answers and may take the policy: asked of all at once, before anything is attached.

And how long one that falls silent later may cost: once, what an answer may take; after that, a few seconds each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from policy_lake.errors import InfraError, SchedcpError
from policy_lake.policy_key import object_of
from tasks.rollout.agent_host import Answer, Channel

READY_S = 20.0  # for all hosts together: one on a machine under load took more than 10 s for a word
AGAIN_S = 5.0  # for a host that was silent before
MOST_AT_ONCE = 256
Named = tuple[str, Channel]


class SilentHostsError(InfraError):
    """Hosts that do not answer, of which nobody said that it may go on without them."""


class UnfitHostsError(SchedcpError):
    """A host answers, and may not take this policy."""

    exit_status = 3


@dataclass(slots=True)
class Patient:
    """A way to an agent that waits less for one that was silent last time. A caller's own limit is kept."""

    ask: Channel
    _silent: bool = False

    def __call__(self, request: str, *, timeout_s: float | None = None, **fields: Any) -> Answer:
        """See Channel."""
        limit = {"timeout_s": timeout_s or AGAIN_S} if timeout_s or self._silent else {}
        self._silent = True
        answer = self.ask(request, **limit, **fields)
        self._silent = False
        return answer


def check_ready(hosts: Sequence[Named], key: str, *, without: Sequence[Named] = ()) -> None:
    """SilentHostsError that names every host without an answer, UnfitHostsError for one that may attach nothing.

    And for hosts of a class of which one, also one that is left out, has the policy of that key in quarantine.
    """
    told = _status_of((*hosts, *without))
    names = [name for name, _ in hosts]
    if silent := {name: why for name in names if isinstance(why := told[name], str)}:
        words = " ".join(f"--without {name}" for name in silent)
        raise SilentHostsError(f"{'; '.join(silent.values())}: nothing was attached; to go on without: {words}")
    facts = {name: answer.fields for name, answer in told.items() if not isinstance(answer, str)}
    for name in names:
        if forbidden := facts[name].get("forbidden"):
            raise UnfitHostsError(f"host {name}: nothing may be attached there: {str(forbidden)[:200]}")
    for name, known in facts.items():
        kept, of = known.get("breakers"), str(known.get("host_class", ""))
        states = {kept.get(key), kept.get(object_of(key))} if isinstance(kept, dict) else set()
        if "quarantined" in states:
            alike = [one for one in names if one == name or (of and facts[one].get("host_class") == of)]
            _refuse_class(name, of, alike)


def _refuse_class(name: str, host_class: str, alike: Sequence[str]) -> None:
    """Of hosts of no class each is for itself."""
    if alike:
        of = f", and with it the class {host_class[:60]!r}" if host_class else ""
        words = " ".join(f"--without {one}" for one in alike)
        why = f"host {name} has the policy with these knobs in quarantine{of}: root releases it there"
        raise UnfitHostsError(f'{why} ({{"req":"resume","object":SHA256}}), or leave out: {words}')


def _status_of(hosts: Sequence[Named]) -> dict[str, Answer | str]:
    """The answer of each, or, in a line that names it, why there is none."""
    pool = ThreadPoolExecutor(max(1, min(MOST_AT_ONCE, len(hosts))))
    asked = {name: pool.submit(channel, "status", timeout_s=READY_S) for name, channel in hosts}
    wait(asked.values(), timeout=READY_S + 1.0)
    pool.shutdown(wait=False, cancel_futures=True)  # one that hangs where no limit reaches keeps nobody waiting
    told: dict[str, Answer | str] = {}
    for name, future in asked.items():
        try:
            answer = future.result(timeout=0)
            told[name] = answer if answer.ok else f"host {name}: {answer.code}: {answer.message}"
        except InfraError as error:
            told[name] = str(error)
        except (TimeoutError, RuntimeError):
            told[name] = f"host {name}: no answer within {READY_S:.0f} s"
    return told

# SPDX-License-Identifier: Apache-2.0
"""The agent's core: what is attached, and the ways on and off. Whatever it does not know means that nothing runs.

One lock: one attach or take-off at a time. A policy goes before anything is written about its going.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from host_agent import breaker_events as ev
from host_agent.attachment import Attacher, Grant, On
from host_agent.audit import Audit, What
from host_agent.breaker import step
from host_agent.config import Config
from host_agent.counts import Counts
from host_agent.holder import Holder
from host_agent.journal import Journal
from host_agent.kernel import Kernel
from host_agent.protocol import RefusedError
from host_agent.reconcile import Finding, compare
from host_agent.records import Breakers, keep_exit
from host_agent.scx_loader import ScxLoader
from host_agent.stop import KillSwitch
from host_agent.trust import Trust
from policy_lake.errors import InfraError, SchedcpError
from policy_lake.exit_record import ExitRecord
from policy_lake.policy_key import object_of


class Agent:
    """One host's agent. `start` first; `desk.Desk` answers requests with it, `watch.Watcher` watches for it."""

    def __init__(
        self, config: Config, *, kernel: Kernel | None = None, loader: ScxLoader | None = None,
        make: Callable[..., Holder] = Holder, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.config, self.clock = config, clock
        self.kernel = kernel or Kernel(config.sys, config.proc)
        self.switch = KillSwitch(config.stop_files, config.state)
        self.trust, self.counts = Trust(config, self.kernel), Counts()
        self.on: On | None = None
        self.paused: Grant | None = None
        self.limits = config.breaker
        self.lock, self._records = asyncio.Lock(), asyncio.Lock()
        self.stopped = ""  # the kill switch, where its file could not be written
        self.ended = ("", "")  # why what was attached last went: the word that is counted, and the reason
        self.unrecorded = False  # what is attached now goes, as soon as the watcher sees it
        self._fault = self._unsaved = ""
        state = config.state
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.breakers = Breakers(state, config.host_class, now=clock(), limits=config.breaker)
        self.journal = Journal(state / "journal.jsonl")
        self.audit = Audit(state, least=self.journal.audit_head)
        self.attacher = Attacher(config, self.kernel, self.journal, loader or ScxLoader(), make)

    async def start(self) -> Finding:
        """Undoes what an agent before this one left, and says which of the five words this host was found in."""
        if self.audit.head.seq == 0:  # a new host; one that lost its consumed nonces gets no empty list of them
            self.trust.prepare()
        found = compare(self.journal.open, self.kernel.steady_scx())
        wrong = await self.attacher.take_off()
        await self.record("reconciled", status=found.status.value, reason=found.reason, wrong=wrong)
        return found

    @property
    def finding(self) -> Finding:
        """Which word this host is in now."""
        actions = self.journal.open if self.on is None else (self.on.action,)
        return compare(actions, self.kernel.steady_scx(), paused=self.paused is not None)

    def forbidden(self) -> str:
        """Why nothing may be attached here at all; empty if something may."""
        return self._unsaved or self._fault or self.stopped or self.switch.on() or self.switch.aside()

    def ask_breaker(self, key: str) -> None:
        """RefusedError unless the policy's breaker lets it be attached."""
        after, effects = step(self.breakers.of(key), ev.AskAttach(), self.clock(), self.limits)
        self.breakers.put(key, after)
        for effect in effects:
            if isinstance(effect, ev.Refuse):
                raise RefusedError("breaker", effect.reason, wait_s=effect.wait_s)

    async def put_on(self, grant: Grant) -> dict[str, Any]:
        """Attaches what was granted, under the lock that the caller holds. Errors as of Attacher.put_on."""
        key = grant.wanted.key
        shorter = min(self.config.breaker.task_wait_s, grant.token.breaker.stall_ms / 1000)
        self.limits = replace(self.config.breaker, task_wait_s=shorter)
        self.lend(grant.lease_s)
        try:
            on = await self.attacher.put_on(grant, self.forbidden)
        except BaseException:
            await self.tell_breaker(key, ev.NotAttached())
            raise
        self.on, self.paused, self.ended = on, None, ("", "")
        self.counts.attached(on.held.attach_s)
        await self.tell_breaker(key, ev.Attached())
        facts = {"policy": grant.token.policy, "object_sha256": grant.wanted.object_sha256, "ops": on.held.ops,
                 "stage": grant.wanted.stage, "enable_seq": on.held.enable_seq,
                 "attach_s": on.held.attach_s}  # fmt: skip
        await self.record("attached", nonce=grant.token.nonce, **facts)
        return facts

    def lend(self, lease_s: float) -> None:
        """For how long the control plane may be silent from now on; 0: for ever."""
        self.limits = replace(self.limits, control_silence_s=lease_s)

    async def tell_breaker(self, key: str, event: ev.Event) -> None:
        """Tells a policy's breaker and does what it answers. Not under the lock, save for events that trip nothing."""
        on = self.on
        after, effects = step(self.breakers.of(key), event, self.clock(), self.limits)
        self.breakers.put(key, after)
        for effect in effects:
            if isinstance(effect, ev.Detach) and on is not None:
                await self.take_off(effect.trip.value, effect.reason, only=on)
        for effect in effects:
            if isinstance(effect, ev.KeepRecord):
                await self._keep(effect.record, object_of(key))
            elif isinstance(effect, ev.Opened | ev.Quarantine | ev.Closed):
                what: What = "closed" if isinstance(effect, ev.Closed) else "tripped"
                facts = {"object_sha256": object_of(key), "policy_key": key, "effect": type(effect).__name__}
                await self.record(what, **facts, **asdict(effect))
                await self.save_breakers()

    async def take_off(self, why: str, reason: str, *, pause: bool = False, only: On | None = None) -> bool:
        """Takes off what is attached, then writes down that and why (`why` is a word that is counted); whether it was.

        `pause`: it may come back under the same token. `only`: this one, and nothing that was attached since.
        """
        async with self.lock:
            if only is not None and self.on is not only:
                return False
            on, self.on = self.on, None
            if on is None:
                self.paused = self.paused if pause else None
                return False
            self.ended = ("", "") if pause else (why, reason)
            began = self.clock()
            wrong = await self.attacher.take_off()
            self.paused = on.grant if pause else None
            gone = self.attacher.gone
            self.counts.reverted(why, self.clock() - began, gone.detach_s)
            await self.tell_breaker(on.grant.wanted.key, ev.TakenOff())
        await self.record(
            "paused" if pause else "detached", why=why, reason=reason, policy=on.grant.token.policy,
            detach_s=gone.detach_s, record=str(gone.record), wrong=wrong,
        )  # fmt: skip
        return True

    async def record(self, what: What, **facts: Any) -> bool:
        """Writes an audit entry, and its head into the journal; whether that went well. It never raises."""
        try:
            async with self._records:
                head = await asyncio.to_thread(self.audit.add, what, **facts)
                await asyncio.to_thread(self.journal.note_audit, head)
                await asyncio.to_thread(self.journal.compact)
            self.unrecorded = False
        except (SchedcpError, OSError):
            self.counts.unrecorded += 1
            self.unrecorded = True
        return not self.unrecorded

    async def step_aside(self, reason: str, on: On) -> None:
        """Somebody else took the matter in hand: what is ours goes, and nothing comes back before `resume`."""
        await self.take_off("admin", reason, only=on)
        self.paused = None
        try:
            await asyncio.to_thread(self.switch.step_aside, reason)
        except InfraError:
            self._fault = f"stepped aside: {reason}"
        await self.record("stepped_aside", reason=reason)

    async def _keep(self, record: ExitRecord, object_sha256: str) -> None:
        try:
            await asyncio.to_thread(keep_exit, self.config.state, record, object_sha256=object_sha256)
        except (InfraError, OSError):
            self.counts.unrecorded += 1
        await self.record("ended", object_sha256=object_sha256, kind=record.kind, words=record.words)

    async def save_breakers(self) -> bool:
        """Writes down what tripped; whether the disk took it. Before it does nothing is attached: a restart forgets."""
        try:
            await asyncio.to_thread(self.breakers.save)
            self._unsaved = ""
        except SchedcpError:
            self._unsaved = "the circuit breakers cannot be written down"
        return not self._unsaved

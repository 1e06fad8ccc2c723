# SPDX-License-Identifier: Apache-2.0
"""The watcher: renews the lease, sees what the kernel has, feeds the circuit breaker, and steps aside for others.

One loop does it all, so that a loop that hangs renews nothing, and the policy goes within the lease.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from host_agent import breaker_events as ev
from host_agent.agent import Agent
from host_agent.attachment import On
from host_agent.desk import Desk
from host_agent.holder import Gone
from host_agent.reconcile import same_policy
from host_agent.sample import Sample
from policy_lake.errors import SchedcpError
from policy_lake.exit_record import ExitKind, ExitRecord

REST_S = 1.0  # between two looks while nothing is attached
TELL_S = 2.0  # for the holder to say how it ended, once the kernel has another state: on a busy host it takes a while
Sampler = Callable[[], Awaitable[Sample]]


class Watcher:
    """Watches for one agent. `sampler` reads all metrics; it raises, or does not return, where one is silent."""

    def __init__(self, agent: Agent, desk: Desk, sampler: Sampler) -> None:
        self._agent, self._desk, self._sampler = agent, desk, sampler
        self._sampling: asyncio.Task[Sample] | None = None
        self._next, self._began, self._seq, self._known_seq = 0.0, 0.0, 0, agent.kernel.scx().enable_seq

    async def run(self) -> None:
        """Until it is cancelled; what is attached goes then, and when a look fails in a way that nobody thought of."""
        try:
            while True:
                began = self._agent.clock()
                try:
                    await self.look()
                except (SchedcpError, OSError, ArithmeticError, LookupError, TypeError, ValueError) as error:
                    await self._agent.take_off("agent", f"the watcher failed: {error!r:.200}")
                on = self._agent.on is not None
                every = self._agent.config.watch_s if on else REST_S
                await asyncio.sleep(max(0.0, began + every - self._agent.clock()))
        finally:
            if self._sampling is not None:
                self._sampling.cancel()

    async def look(self) -> None:
        """One look at everything."""
        agent, now = self._agent, self._agent.clock()
        on = agent.on
        if on is None:
            await self._at_rest()
        else:
            on.holder.renew()
            if await self._is_on(on):
                event = ev.NotRecorded() if agent.unrecorded else ev.Tick()
                await self._tell(on, event)
        await self._sample(now)

    async def _at_rest(self) -> None:
        """Says so when somebody else attached something since the last look."""
        agent, scx = self._agent, self._agent.kernel.scx()
        if agent.lock.locked():
            return
        if agent.paused is not None and (reason := agent.forbidden()):
            agent.paused, agent.ended = None, ("stop", reason)
            await agent.record("detached", why="stop", reason=reason)
        if scx.enable_seq != self._known_seq and scx.on and agent.on is None:
            await agent.record("stepped_aside", reason=f"another loader attached {scx.ops or 'a policy'}")
            agent.paused = None
        self._known_seq = scx.enable_seq

    async def _is_on(self, on: On) -> bool:
        """Whether the policy is on and may be; else it has been dealt with."""
        agent = self._agent
        if reason := agent.stopped or agent.switch.on():
            await agent.take_off("stop", reason, only=on)
            return False
        scx = agent.kernel.scx()
        self._known_seq = scx.enable_seq
        if on.is_it(scx) and not on.holder.gone.done():
            return True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(on.holder.gone), TELL_S)
        if agent.on is not on:  # a request took it off meanwhile
            return False
        scx = agent.kernel.steady_scx()
        if scx.on and scx.ops and not same_policy(on.action, scx):  # ours has its name while it is being disabled
            await agent.step_aside(f"another loader attached {scx.ops}", on)
        elif on.holder.gone.done():
            await self._ended(on, on.holder.gone.result())
        elif not on.is_it(scx):
            await self._ended(on, Gone("ejected", 0.0, ExitRecord()))
        return False

    async def _ended(self, on: On, gone: Gone) -> None:
        agent = self._agent
        if gone.reason == "signal":
            await agent.step_aside("an administrator ended the holder", on)
        elif gone.reason == "ejected":
            await self._tell(on, ev.Ended(gone.record))
            if gone.record.kind == ExitKind.SYSRQ:
                await agent.step_aside("an administrator took the policy off (SysRq)", on)
            await agent.take_off("ended", gone.record.words or "it ended", only=on)
        elif gone.reason in ("lease", "agent"):  # this loop did not run for so long
            await self._tell(on, ev.AgentLate(agent.config.lease_s))
        elif gone.reason == "stop":
            await agent.take_off("stop", agent.switch.on() or "the kill switch was set", only=on)
        else:
            await self._tell(on, ev.HolderLost())

    async def _sample(self, now: float) -> None:
        """Begins a sample when one is due, and tells what the last one found. One that hangs is waited for."""
        if self._sampling is None and now >= self._next:
            self._next, self._began = now + self._agent.config.sample_s, now
            self._sampling = asyncio.create_task(_made(self._sampler))
            if (on := self._agent.on) is not None:
                on.holder.ask_counters()
        if self._sampling is None or not self._sampling.done():
            return
        sampling, self._sampling = self._sampling, None
        with contextlib.suppress(SchedcpError, OSError, ValueError):  # silence, which the breaker counts
            await self._told(sampling.result())

    async def _told(self, sample: Sample) -> None:
        on = self._agent.on
        self._seq += 1
        scx = self._agent.kernel.scx()
        self._desk.samples.append({
            "seq": self._seq, **sample.data, "ops": scx.ops, "enable_seq": scx.enable_seq, "state": scx.state,
            "counters": on.holder.counters if on else {},
        })  # fmt: skip
        if on is None:
            return
        for event in sample.events(on.grant.limits, self._agent.clock() - self._began):
            await self._tell(on, event)

    async def _tell(self, on: On, event: ev.Event) -> None:
        if self._agent.on is on:
            await self._agent.tell_breaker(on.grant.wanted.key, event)


async def _made(sampler: Sampler) -> Sample:
    return await sampler()

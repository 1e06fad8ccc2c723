# SPDX-License-Identifier: Apache-2.0
"""Putting one policy on and taking it off: the journal before each effect, the kernel's word after it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from host_agent.chosen_tasks import ChosenTasks
from host_agent.config import Config
from host_agent.holder import Gone, Held, Holder, HolderError
from host_agent.journal import Action, Journal, undo_all
from host_agent.kernel import Kernel, Scx
from host_agent.protocol import RefusedError
from host_agent.reconcile import same_policy
from host_agent.scx_loader import ScxLoader
from host_agent.trust import Wanted
from policy_lake.errors import InfraError
from policy_lake.exit_record import ExitRecord
from verifier_vm.tokens.terms import Token

Mode = Literal["full", "shadow", "partial"]
PARTIAL = "ops.flag=SCX_OPS_SWITCH_PARTIAL"
STEP_S = 0.005
GONE_S = 2.0  # how long the kernel may take to be done with a policy whose link is gone


@dataclass(frozen=True, slots=True)
class Grant:
    """What a consumed token allows: this object, so, until it is taken off."""

    token: Token
    wanted: Wanted
    image: bytes
    mode: Mode = "full"
    cgroup: str = ""
    lease_s: float = 0.0
    limits: Mapping[str, float] = field(default_factory=dict)

    @property
    def words(self) -> tuple[str, ...]:
        """The loader's words: the token's, and the token's own limit for the kernel's watchdog."""
        more = [PARTIAL] if self.mode == "partial" else []
        return (*self.wanted.words, *more, f"ops.timeout_ms={self.token.breaker.stall_ms}")


@dataclass(frozen=True, slots=True)
class On:
    """A policy that is attached: its grant, its holder, what the kernel says it is."""

    grant: Grant
    holder: Holder
    held: Held
    action: Action
    since: float

    def is_it(self, scx: Scx) -> bool:
        """Whether this is what the kernel has, and schedules by."""
        return scx.enabled and same_policy(self.action, scx)


class Attacher:
    """The sequence of effects, each with its undoing."""

    def __init__(
        self, config: Config, kernel: Kernel, journal: Journal, loader: ScxLoader, make: Callable[..., Holder] = Holder
    ) -> None:
        self._config, self._kernel, self._journal, self._loader, self._make = config, kernel, journal, loader, make
        self._tasks = ChosenTasks(config.cgroups)
        self.starting: Holder | None = None
        self._holder: Holder | None = None
        self.gone = Gone("lost", 0.0, ExitRecord())

    async def put_on(self, grant: Grant, forbidden: Callable[[], str]) -> On:
        """Attaches, and proves it; after an error nothing of ours is attached. RefusedError, HolderError, InfraError.

        `forbidden` is asked once more when it is attached: the kill switch may have been set meanwhile.
        """
        try:
            await self._take_over()
            on = await self._attach(grant)
            if grant.mode == "partial":
                given = {"cgroup": grant.cgroup}
                switch = await asyncio.to_thread(self._journal.begin, "switch_tasks", given)
                moved = await asyncio.to_thread(self._tasks.switch, grant.cgroup)
                await asyncio.to_thread(self._journal.done, switch, {"tasks": moved})
            if reason := forbidden():
                raise RefusedError("stopped", reason)
        except BaseException:
            await self.take_off()
            raise
        return on

    def check_cgroup(self, cgroup: str) -> str:
        """See ChosenTasks.check."""
        return self._tasks.check(cgroup)

    async def shadow(self, grant: Grant) -> Held:
        """Loads the object, which the kernel's verifier then sees, and attaches nothing. HolderError."""
        holder = self._new()
        try:
            return await holder.start(grant.image, grant.words, timeout_s=self._config.load_timeout_s, shadow=True)
        finally:
            self.starting = None
            await holder.kill()

    async def take_off(self) -> list[str]:
        """Undoes all that is open, the policy first; what went wrong, in lines. `gone` says how the holder ended."""
        holder, self._holder = self._holder, None
        wrong: list[str] = []
        if holder is not None:  # before any record: a full disk must not keep it on
            self.gone = await holder.detach()
            if not await self._wait(lambda scx: not scx.on):
                wrong.append("the kernel still has a policy after the holder is gone")
        return wrong + await undo_all(
            self._journal, {"attach": self, "take_over": self._loader, "switch_tasks": self._tasks}
        )

    async def undo(self, action: Action) -> None:
        """Takes off what an agent before this one attached. Its holder ends by itself: it has lost its parent."""

        def over(scx: Scx) -> bool:
            return not (scx.on and same_policy(action, scx))

        if await self._wait(over, self._config.lease_s + GONE_S):
            return
        pid = int(action.came_to.get("pid", 0))
        if pid and self._is_holder(pid):
            os.kill(pid, signal.SIGKILL)
        if not await self._wait(over):
            raise InfraError("the kernel still has the policy, and nobody who holds it is known")

    def _is_holder(self, pid: int) -> bool:
        try:
            return (self._config.proc / str(pid) / "exe").readlink() == self._config.hold.resolve()
        except OSError:
            return False

    async def _take_over(self) -> None:
        scx = self._kernel.steady_scx()
        if not scx.on:
            return
        name = await self._loader.current()
        ops = scx.ops.partition("_")[0].lower()  # a version may follow
        if not name or not ops or ops not in name.lower():
            raise RefusedError("other_scheduler", f"the kernel has {scx.ops or 'a policy'}, attached by another loader")
        id_ = await asyncio.to_thread(self._journal.begin, "take_over", {"scheduler": name})
        await self._loader.stop()
        await asyncio.to_thread(self._journal.done, id_, {"scheduler": name})
        if not await self._wait(lambda scx: not scx.on):
            raise RefusedError("other_scheduler", f"scx_loader was asked to stop {name}, which is still attached")

    async def _attach(self, grant: Grant) -> On:
        before = self._kernel.steady_scx()
        given: dict[str, Any] = {
            "object_sha256": grant.wanted.object_sha256, "policy": grant.token.policy, "nonce": grant.token.nonce,
            "stage": grant.wanted.stage, "words": list(grant.words), "enable_seq": before.enable_seq,
        }  # fmt: skip
        id_ = await asyncio.to_thread(self._journal.begin, "attach", given)
        holder = self._holder = self._new()
        try:
            held = await holder.start(grant.image, grant.words, timeout_s=self._config.load_timeout_s)
        finally:
            self.starting = None
        came_to = {"ops": held.ops, "enable_seq": held.enable_seq, "pid": holder.pid}
        action = Action("attach", given, came_to, id_, done=True)
        scx = self._kernel.steady_scx()  # the holder's word is not enough: it parses what strangers wrote
        if not (scx.enabled and same_policy(action, scx) and scx.enable_seq > before.enable_seq):
            raise HolderError("prove", f"the kernel has {scx.ops or 'no policy'} ({scx.state or 'no sched_ext'})")
        recorded = asyncio.create_task(asyncio.to_thread(self._journal.done, id_, came_to))
        while not recorded.done():  # a slow disk must not cost the lease
            holder.renew()
            await asyncio.wait([recorded], timeout=self._config.watch_s)
        recorded.result()
        return On(grant, holder, held, action, time.monotonic())

    def _new(self) -> Holder:
        config = self._config
        self.starting = self._make(config.hold, lease_s=config.lease_s, stop_files=config.stop_files, sys=config.sys)
        return self.starting

    async def _wait(self, met: Callable[[Scx], bool], timeout_s: float = GONE_S) -> bool:
        deadline = time.monotonic() + timeout_s
        while not met(self._kernel.scx()):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(STEP_S)
        return True

# SPDX-License-Identifier: Apache-2.0
"""Requests answered: each checked against all that speaks against it before anything is done."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from typing import Any, cast

from host_agent import breaker_events as ev
from host_agent.agent import Agent
from host_agent.attachment import Grant, Mode
from host_agent.breaker import step
from host_agent.holder import HolderError
from host_agent.protocol import RefusedError, Request
from host_agent.told import described, status
from host_agent.trust import Wanted
from policy_lake.errors import InputError, SchedcpError
from policy_lake.p99 import p99_unit_s
from policy_lake.policy_key import policy_key
from verifier_vm.tokens.errors import KeyFileError, TokenError
from verifier_vm.tokens.terms import RolloutStage, Token

CANARY_LEASE_S, LONGEST_CANARY_LEASE_S = 30.0, 600  # for which the control plane may be silent
REFUSALS_A_MINUTE = 20  # that the audit log has in full; beyond, their number alone


class Desk:
    """Answers for one agent. `samples` are the latest of the watcher's, by their numbers."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self.samples: deque[dict[str, Any]] = deque(maxlen=600)
        self._refused_at: deque[float] = deque(maxlen=REFUSALS_A_MINUTE)
        self._untold, self._attaching = 0, False

    async def handle(self, request: Request, *, admin: bool) -> dict[str, Any]:
        """What was asked for; RefusedError for no. `admin`: root of this host, not only one who may talk to us."""
        agent = self._agent
        agent.counts.control_seen = time.time()
        if agent.on is not None:
            await agent.tell_breaker(agent.on.grant.wanted.key, ev.ControlSeen())
        try:
            told = await self._do(request, admin)
        except (RefusedError, SchedcpError, OSError) as error:
            refused = error if isinstance(error, RefusedError) else RefusedError(_code(error), str(error))
            await self.refused(request.name, refused)
            raise refused from error
        if request.name in ("attach", "unpause"):
            agent.counts.verdicts["admitted"] += 1
        return told

    async def refused(self, name: str, error: RefusedError) -> None:
        """Counts a refusal and writes it down, or, where there are very many, that there were."""
        agent, now = self._agent, self._agent.clock()
        agent.counts.verdicts[error.code] += 1
        if len(self._refused_at) == REFUSALS_A_MINUTE and now - self._refused_at[0] < 60:
            self._untold += 1
            return
        self._refused_at.append(now)
        more, self._untold = self._untold, 0
        await agent.record("refused", request=name, code=error.code, message=str(error), untold=more)

    async def _do(self, request: Request, admin: bool) -> dict[str, Any]:
        given, since = request.given, int(request.given.get("since", 0))
        match request.name:
            case "attach":
                told = await self._attach(given)
            case "unpause":
                told = await self._unpause(given)
            case "detach" | "pause":
                told = await self._off(given.get("reason", "asked to"), pause=request.name == "pause")
            case "lease":
                told = await self._lease(float(given["lease"]), given.get("stage"))
            case "stop":
                told = await self._stop(given.get("reason", "asked to"), control=not admin)
            case "resume":
                told = await self._resume(given, admin)
            case "trust":
                told = await self._trust(given)
            case _:
                told = await self._tell(request.name, since)
        return told

    async def _tell(self, name: str, since: int) -> dict[str, Any]:
        agent = self._agent
        if name == "status":
            return status(agent)
        if name == "describe":
            return described(agent)
        if name == "feedback":
            return {"samples": [sample for sample in self.samples if sample["seq"] > since][:100]}
        entries = await asyncio.to_thread(agent.audit.since, since)
        told = [{"seq": line.seq, **line.data} for line in entries]
        previous = entries[0].previous if entries else agent.audit.head.sha256
        return {"entries": told, "previous": previous, "head": asdict(agent.audit.head), "log": agent.audit.id}

    async def _off(self, reason: str, *, pause: bool) -> dict[str, Any]:
        off = await self._agent.take_off("asked", reason, pause=pause)
        if pause and not off:
            raise RefusedError("not_attached", "nothing is attached")
        return {"was_attached": off}

    async def _lease(self, lease_s: float, stage: RolloutStage | None) -> dict[str, Any]:
        """Lends what is attached for so long, at another stage of the rollout if the token goes so far."""
        agent = self._agent
        async with agent.lock:
            if (on := agent.on) is None:
                raise RefusedError("not_attached", "nothing is attached")
            wanted = replace(on.grant.wanted, stage=stage or on.grant.wanted.stage)
            _require_lease(lease_s, wanted.stage)
            if wanted != on.grant.wanted:
                await asyncio.to_thread(agent.trust.still_good, wanted)
                agent.on = replace(on, grant=replace(on.grant, wanted=wanted))
            agent.lend(lease_s)
        await agent.record("lease", lease_s=lease_s, stage=wanted.stage)
        return {"lease": lease_s, "stage": wanted.stage}

    async def _attach(self, given: dict[str, Any]) -> dict[str, Any]:
        agent = self._agent
        async with self._alone():
            image, mode = given["object"], cast(Mode, given.get("mode", "full"))
            wanted = Wanted(given["token"], hashlib.sha256(image).hexdigest(), given["knobs"], given["stage"])
            lease_s = float(given.get("lease", CANARY_LEASE_S if wanted.stage == "canary" else 0))
            _require_lease(lease_s, wanted.stage)
            self._require_free()
            if mode == "shadow":
                return await self._shadow(wanted, image)
            cgroup = agent.attacher.check_cgroup(given.get("cgroup", "")) if mode == "partial" else ""
            agent.ask_breaker(wanted.key)
            asked = await agent.record("attach", object_sha256=wanted.object_sha256, stage=wanted.stage, mode=mode)
            if not asked:
                raise RefusedError("not_recorded", "the audit log cannot be written")
            token = await asyncio.to_thread(agent.trust.consume, wanted)
            grant = Grant(token, wanted, image, mode, cgroup, lease_s, _limits(given, token))
            return await agent.put_on(grant)

    async def _shadow(self, wanted: Wanted, image: bytes) -> dict[str, Any]:
        agent = self._agent
        token = await asyncio.to_thread(agent.trust.check, wanted)
        held = await agent.attacher.shadow(Grant(token, wanted, image))
        await agent.record("shadow", policy=token.policy, object_sha256=wanted.object_sha256)
        return {"ops": held.ops, "load_s": held.load_s, "mode": "shadow"}

    async def _unpause(self, given: dict[str, Any]) -> dict[str, Any]:
        agent = self._agent
        async with self._alone():
            grant, agent.paused = agent.paused, None
            if grant is None:
                raise RefusedError("not_paused", "nothing is paused: attach it, with a token")
            self._require_free()
            agent.ask_breaker(grant.wanted.key)
            await asyncio.to_thread(agent.trust.still_good, grant.wanted)
            if not await agent.record("unpaused", policy=grant.token.policy):
                raise RefusedError("not_recorded", "the audit log cannot be written")
            return await agent.put_on(replace(grant, limits=_limits(given, grant.token) or grant.limits))

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """One attachment at a time. A take-off is waited for, which takes a second or two at most."""
        if self._attaching:
            raise RefusedError("busy", "another attachment is under way")
        self._attaching = True
        try:
            async with self._agent.lock:
                yield
        finally:
            self._attaching = False

    def _require_free(self) -> None:
        agent = self._agent
        if reason := agent.forbidden():
            raise RefusedError("stopped", reason)
        if agent.on is not None or agent.paused is not None:
            raise RefusedError("attached", "a policy is attached, or paused: detach it first")
        if agent.journal.open:
            raise RefusedError("not_undone", f"{agent.journal.open[-1].kind} of before could not be undone")

    async def _stop(self, reason: str, *, control: bool) -> dict[str, Any]:
        agent, wrong = self._agent, ""
        try:
            agent.switch.set(reason, control=control)
        except SchedcpError as error:  # entering always succeeds, if only in memory
            wrong = str(error)
            agent.stopped = reason
        if (starting := agent.attacher.starting) is not None:
            await starting.kill()
        off = await agent.take_off("stop", reason)
        await agent.record("stop", reason=reason, wrong=wrong)
        return {"was_attached": off}

    async def _resume(self, given: dict[str, Any], admin: bool) -> dict[str, Any]:
        agent = self._agent
        if sha := given.get("object", ""):
            if not admin:
                raise RefusedError("not_admin", "only root of this host releases a policy from quarantine")
            knobs = given.get("knobs")
            keys = agent.breakers.keys_of(sha) if knobs is None else (policy_key(sha, knobs),)
            for key in keys:
                agent.breakers.put(key, step(agent.breakers.of(key), ev.Release(), agent.clock(), agent.limits)[0])
            if not await agent.save_breakers():
                raise RefusedError("not_recorded", "the circuit breakers cannot be written down")
            await agent.record("released", object_sha256=sha, policies=list(keys))
            return {"released": len(keys)}
        agent.stopped = "" if admin else agent.stopped
        if left := agent.switch.clear(admin=admin) or agent.stopped:
            raise RefusedError("stopped", f"it is not for you to resume: {left}")
        await agent.record("resume", admin=admin)
        return {}

    async def _trust(self, given: dict[str, Any]) -> dict[str, Any]:
        agent = self._agent
        version = await asyncio.to_thread(
            lambda: agent.trust.renew(
                revocations=given.get("revocations"), log=given.get("log"), head=given.get("head")
            )
        )
        await agent.record("trust", revocations=version)
        for grant in [agent.on.grant] if agent.on else [agent.paused] if agent.paused else []:
            if reason := await asyncio.to_thread(agent.trust.revoked, grant.token):
                await agent.take_off("token", f"revoked: {reason}")
        return {"revocations": version}


def _require_lease(lease_s: float, stage: str) -> None:
    """A canary does not outlive who watches it."""
    if stage == "canary" and not 0 < lease_s <= LONGEST_CANARY_LEASE_S:
        raise RefusedError("stage", f"a canary has a lease of more than 0 and at most {LONGEST_CANARY_LEASE_S} s")


def _limits(given: dict[str, Any], token: Token) -> dict[str, float]:
    """What the workload's p99 may be, by its metric's name and in its unit, where its p99 without a policy was told."""
    name, base = given.get("p99_metric", "p99_s"), given.get("p99_base_s")
    unit = p99_unit_s(name)
    return {name: base / unit * token.breaker.p99_ratio} if base and unit else {}


def _code(error: Exception) -> str:
    """The code of a refusal for an error that is no decision of ours."""
    if isinstance(error, TokenError):
        return error.code.value
    if isinstance(error, HolderError):
        return f"not_attached_{error.phase}"[:40]
    kinds = ((KeyFileError, "key_file"), (InputError, "bad_request"))
    return next((code for kind, code in kinds if isinstance(error, kind)), "infra")

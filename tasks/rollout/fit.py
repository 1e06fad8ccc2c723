# SPDX-License-Identifier: Apache-2.0
"""Whether a rollout's tokens are for its object and its plan, told before anything reaches a host.

Hosts check all of it again, and believe nothing of this.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from policy_lake.errors import InputError
from policy_lake.rollout import RolloutPlan, Step
from tasks.rollout.agent_host import STAGES
from tasks.rollout.carried import object_in, token_files, token_in
from tasks.rollout.hosts import hosts_of
from tasks.rollout.spec import RolloutSpec
from verifier_vm.tokens.audit_log import read_log
from verifier_vm.tokens.check import require_unexpired, withdrawn
from verifier_vm.tokens.dsse import unseal
from verifier_vm.tokens.errors import Code, TokenError
from verifier_vm.tokens.public_key import PUBLIC, read_public_key
from verifier_vm.tokens.revocation import REVOCATIONS, read_revocations
from verifier_vm.tokens.statement import token_digest
from verifier_vm.tokens.terms import RolloutStage, Token

ORDER = get_args(RolloutStage)


def check_fit(spec: RolloutSpec) -> None:
    """TokenError for a token of another object, that expired, was revoked, or ends before a step that it is used for.

    InputError for one that is named twice, and where the plan uses up more than there are.
    """
    named = token_files(spec.tokens)
    known = [(word, token_in(content, word)) for word, content in named]
    for index, (word, token) in enumerate(known):
        if token.nonce in {before.nonce for _, before in known[:index]}:
            raise InputError(f"{word}: the same token is named twice: each attachment uses one up")
    digest = hashlib.sha256(object_in(spec.object)).hexdigest()
    for word, token in known:
        require_unexpired(token, word, datetime.now(UTC))
        if token.object_sha256 != digest:
            reason = f"{word}: it is for the object {token.object_sha256}, and {spec.object} is {digest}"
            raise TokenError(reason, Code.OTHER_OBJECT)
    if spec.trust:
        _check_standing(named, Path(spec.trust))
    _check_plan(known, spec.plan, spec.hosts)


def _check_standing(named: Sequence[tuple[str, bytes]], directory: Path) -> None:
    """By what hosts are told of first."""
    key = read_public_key(directory / PUBLIC)
    revocations, log = read_revocations(directory / REVOCATIONS, key), read_log(directory, key)
    for word, content in named:
        payload = unseal(content, key)
        if refusal := withdrawn(token_in(content, word), token_digest(payload), revocations, log):
            raise TokenError(f"{word}: {refusal.reason}", refusal.code)


def _check_plan(known: Sequence[tuple[str, Token]], plan: RolloutPlan, hosts: Sequence[str]) -> None:
    for index, step in _uses(plan, hosts):
        if index >= len(known):
            why = f"needs token number {index + 1} of {len(known)}: each attachment on a host uses one up"
            raise InputError(f"step '{step.name}' of the plan {why}")
        word, token = known[index]
        if ORDER.index(token.rollout_limit) < ORDER.index(STAGES[step.hosts]):
            where = f"step '{step.name}' of the plan is on {step.hosts} hosts, which wants {STAGES[step.hosts]!r}"
            reason = f"{word}: the token ends at the rollout stage {token.rollout_limit!r}, and {where}"
            raise TokenError(reason, Code.LATER_STAGE)


def _uses(plan: RolloutPlan, hosts: Sequence[str]) -> Iterator[tuple[int, Step]]:
    """Which of the tokens each step is tried or attached with on each host, as AgentHost does where all goes well."""
    for host in hosts:
        used, attached = 0, None
        for step in plan.steps:
            if host not in hosts_of(step, hosts, plan):
                continue
            if attached is None:
                yield used, step
            if step.kind != "shadow" and attached != step.cgroups:
                used, attached = used + 1, step.cgroups
            if attached is not None:
                yield used - 1, step

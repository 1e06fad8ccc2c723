# SPDX-License-Identifier: Apache-2.0
"""`schedcp rollout`: a token and its object onto hosts. `schedcp stop`: off them, at once."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import get_args

from control_plane.output import err, escape, out, print_json, working
from control_plane.progress import shown
from control_plane.rollout_outputs import RolloutOutput, StopOutput, StoppedHost
from policy_lake.errors import InfraError, InputError
from policy_lake.rollout import End, RolloutDone
from tasks.host.settings import Settings
from tasks.rollout.agent_host import Channel
from tasks.rollout.carried import carried_words, token_files, token_in
from tasks.rollout.fit import check_fit
from tasks.rollout.open import channel_of, check_hosts
from tasks.rollout.page import end_line, judgement_line, reading_text
from tasks.rollout.plan_file import read_plan
from tasks.rollout.spec import OnDoubt, RolloutSpec, order_of

REFUSED, DOUBT = 3, 1  # exit statuses: taken back or refused; a person stopped it, or a host was lost
MOST_HOSTS = 1000
NOT_STOPPED = "it was NOT stopped"
STAYS = "a promoted policy stays there, and any other until its lease ends"
BY_HAND = "touch /etc/schedcp/stop"


def rollout_command(
    tokens: Sequence[Path], object_file: Path | None, plan: Path, hosts: Sequence[str], settings: Settings, *,
    on_doubt: str, seed: int, trust: Path | None, as_json: bool, without: Sequence[str] = (),
) -> int:  # fmt: skip
    """Run the rollout; the exit status is 0 for a promotion, 3 where it was refused or taken back, 1 otherwise.

    Before anything is started every host is asked: SilentHostsError, UnfitHostsError.
    """
    from flows.local_rollout import run_rollout
    from tasks.host.interrupts import interruptible

    hosts = _left_in(hosts, without)
    spec = _spec(tokens, object_file, plan, hosts, settings, on_doubt=on_doubt, seed=seed, trust=trust)
    spec = replace(spec, without=tuple(without))
    with working(f"asking {len(spec.hosts)} hosts"):
        check_hosts(spec, settings)
    with shown(err(), "starting", level=logging.INFO), interruptible():
        done = run_rollout(spec)
    if as_json:
        print_json("rollout", RolloutOutput(spec.id, spec.policy, tuple(spec.hosts), done))
    else:
        _show(spec, done)
    if done.end is End.PROMOTED:
        return 0
    return REFUSED if done.end in (End.ROLLED_BACK, End.REFUSED) else DOUBT


def _left_in(hosts: Sequence[str], without: Sequence[str]) -> list[str]:
    """The hosts that were not left out, by name or by the whole word; InputError for one that is none of them."""
    names = {host.partition("@")[0]: host for host in hosts}
    out = {names.get(word, word) for word in without}
    if strange := sorted(out - set(hosts)):
        raise InputError(f"--without {strange[0][:80]}: it is none of the hosts")
    if not set(hosts) - out:
        raise InputError("--without: no host is left")
    return [host for host in hosts if host not in out]


def _spec(
    tokens: Sequence[Path], object_file: Path | None, plan: Path, hosts: Sequence[str], settings: Settings, *,
    on_doubt: str, seed: int, trust: Path | None,
) -> RolloutSpec:  # fmt: skip
    """All that can be wrong is told before anything is started. InputError, TokenError."""
    if on_doubt not in get_args(OnDoubt):
        raise InputError(f"--on-doubt '{on_doubt[:40]}': it is ask or stop")
    if len(set(hosts)) < len(hosts) or len(hosts) > MOST_HOSTS:
        raise InputError(f"--host: each once, and {MOST_HOSTS} at most")
    for host in hosts:
        channel_of(host, settings)
    words, object_word = carried_words(list(map(str, tokens)), str(object_file or ""))
    known = [(word, token_in(content, word)) for word, content in token_files(words)]
    first = known[0][1]
    for word, token in known[1:]:
        if (token.object_sha256, token.arguments) != (first.object_sha256, first.arguments):
            raise InputError(f"{word}: it is for another object or other knobs than {known[0][0]}")
    spec = RolloutSpec(
        f"rollout-{uuid.uuid4().hex[:8]}", read_plan(plan), words, object_word, tuple(hosts), first.policy,
        first.workload, first.arguments, str(trust or settings.key_dir), "ask" if on_doubt == "ask" else "stop", seed,
    )  # fmt: skip
    order_of(spec)
    check_fit(spec)
    return spec


def stop_command(hosts: Sequence[str], reason: str, settings: Settings, *, as_json: bool) -> int:
    """Ask every host at once. 4 where one did not say that it stopped, else 2 where a name was wrong, else 0.

    InputError where no name is right. A wrong one keeps no other host running.
    """
    asked, wrong = _channels(hosts, settings)
    if not asked and all(isinstance(error, InputError) for error in wrong.values()):
        raise InputError("; ".join(map(str, wrong.values())))
    with working(f"stopping {len(asked)} hosts"), ThreadPoolExecutor(max(1, min(64, len(asked)))) as pool:
        answered = pool.map(lambda word: _stopped(*asked[word], reason), asked)
        told = dict(zip(asked, answered, strict=True))
    told |= {word: StoppedHost(word, False, why=f"{error}: {NOT_STOPPED}") for word, error in wrong.items()}
    stopped = tuple(told[word] for word in dict.fromkeys(hosts))
    if as_json:
        print_json("stop", StopOutput(stopped))
    for host in () if as_json else stopped:
        how = f"{host.host}: stopped" + (", and its policy is off" if host.was_attached else "")
        out().print(escape(how if host.stopped else host.why), soft_wrap=True)
    if all(host.stopped for host in stopped):
        return 0
    mistyped = {word for word, error in wrong.items() if isinstance(error, InputError)}
    silent = any(not host.stopped for word, host in told.items() if word not in mistyped)
    return InfraError.exit_status if silent else InputError.exit_status


def _channels(
    hosts: Sequence[str], settings: Settings
) -> tuple[dict[str, tuple[str, Channel]], dict[str, InputError | InfraError]]:
    """How each host is asked, by the word that names it, and what is wrong with the words that name none."""
    asked: dict[str, tuple[str, Channel]] = {}
    wrong: dict[str, InputError | InfraError] = {}
    for word in hosts:
        try:
            asked[word] = channel_of(word, settings)
        except (InputError, InfraError) as error:
            wrong[word] = error
    return asked, wrong


def _stopped(name: str, channel: Channel, reason: str) -> StoppedHost:
    """What came of it; `why` names the host."""
    try:
        answer = channel("stop", reason=reason)
    except InfraError as error:
        return StoppedHost(name, False, why=f"{error}: {NOT_STOPPED}; {STAYS}; on the host: {BY_HAND}")
    if not answer.ok:
        why = f"host {name}: {answer.code}: {answer.message}: {NOT_STOPPED}; on the host: {BY_HAND}"
        return StoppedHost(name, False, why=why)
    return StoppedHost(name, True, answer.fields.get("was_attached") is True)


def _show(spec: RolloutSpec, done: RolloutDone) -> None:
    for step in done.steps:
        said = judgement_line(step.judgement) if step.judgement else "loaded, and unloaded"
        out().print(f"{escape(step.step)} on {escape(', '.join(step.hosts))}: {escape(said)}", soft_wrap=True)
        for seen in step.judgement.readings if step.judgement else ():
            host = f" on {seen.host}" if seen.host else ""
            words = f"    {escape(seen.metric + host)}: {reading_text(seen)} of the host's own (below 1: better)"
            out().print(words, soft_wrap=True)
    out().print(f"{escape(spec.policy)}: {escape(end_line(done))}", soft_wrap=True)
    out().print(f"every window: schedcp lake show {spec.id}", soft_wrap=True)

# SPDX-License-Identifier: Apache-2.0
"""How a verifier service is set up: one TOML file, which nobody but root and the service's user may write to."""

from __future__ import annotations

import grp
import os
import pwd
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from policy_lake.errors import InputError
from policy_lake.files import read_outside
from policy_lake.limits import Limit
from verifier_vm.tokens.files import require_trusted

CONFIG = Path("/etc/schedcp/verifierd.toml")
QUEUE = Limit("queue", 0, 64, default=4)
LIMIT_S = Limit("limit_s", 60, 24 * 3600, "s", default=3600)
REQUEST_MIB = Limit("request_mib", 1, 48, "MiB", default=32)
AT_ONCE = Limit("at_once", 1, 16, default=1)
BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """Where the service works, who may ask it (`users`, `groups`), and who may revoke (`admins`), by name or number.

    `queue` requests wait, `at_once` are worked on, each for at most `limit_s` seconds.
    """

    socket: Path = Path("/run/schedcp-verifier/verifierd.sock")
    data_dir: Path = Path("/var/lib/schedcp-verifier")
    cache_dir: Path = Path("/var/cache/schedcp-verifier")
    key_store: Path = Path("/var/lib/schedcp-verifier/keys")
    users: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()
    admins: tuple[int, ...] = (0,)
    queue: int = int(QUEUE.preset)
    at_once: int = int(AT_ONCE.preset)
    limit_s: int = int(LIMIT_S.preset)
    request_mib: int = int(REQUEST_MIB.preset)

    def may_ask(self, uid: int, groups: set[int]) -> bool:
        """Whether somebody may have policies verified and signed."""
        return uid in self.users or uid in self.admins or bool(groups & set(self.groups))


def read_config(path: Path) -> ServiceConfig:
    """The configuration; InputError for what is unknown or beyond its limits, TokenError if others may write to it."""
    require_trusted(path)
    try:
        data = tomllib.loads(read_outside(path, BYTES).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not TOML: {' '.join(str(error).split())[:200]}") from error
    known = {field.name for field in fields(ServiceConfig)}
    if unknown := sorted(set(data) - known):
        raise InputError(f"{path}: {unknown[0]!r} is not one of {', '.join(sorted(known))}")
    try:
        config = ServiceConfig(**{name: _value(name, value) for name, value in data.items()})
        for limit in (QUEUE, LIMIT_S, REQUEST_MIB, AT_ONCE):
            limit.check(getattr(config, limit.name))
    except (InputError, TypeError, ValueError) as error:
        raise InputError(f"{path}: {error}") from error
    if os.geteuid() in config.users:
        raise InputError(f"{path}: users: {os.geteuid()} is the service's own user, who may not be one who plans")
    return config


def groups_of(uid: int, gid: int) -> set[int]:
    """The groups of a user, that of its process among them."""
    try:
        return {gid, *os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)}
    except KeyError:
        return {gid}


def _value(name: str, value: Any) -> Any:
    if name in ("users", "admins"):
        return tuple(_number(word, lambda text: pwd.getpwnam(text).pw_uid, "user") for word in value)
    if name == "groups":
        return tuple(_number(word, lambda text: grp.getgrnam(text).gr_gid, "group") for word in value)
    if name in ("socket", "data_dir", "cache_dir", "key_store"):
        if not isinstance(value, str) or not value.startswith("/"):
            raise InputError(f"{name}: {str(value)[:80]!r} is no absolute path")
        return Path(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputError(f"{name}: {str(value)[:80]!r} is no whole number")
    return value


def _number(word: Any, find: Any, what: str) -> int:
    if isinstance(word, int) and not isinstance(word, bool):
        return word
    try:
        return int(find(str(word)))
    except KeyError:
        raise InputError(f"no {what} {str(word)[:80]!r} here") from None

# SPDX-License-Identifier: Apache-2.0
"""The agent's one configuration file, TOML: every member known, of its type, within its limits. None: the defaults."""

from __future__ import annotations

import dataclasses
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from host_agent.breaker import Limits
from policy_lake.audience import machine_audience
from policy_lake.errors import InputError
from policy_lake.files import read_outside

PLACE = Path("/etc/schedcp/agent.toml")
LARGEST = 64 << 10


@dataclass(frozen=True, slots=True)
class Source:
    """A metric of the workload: from a command's output, a file, or a Prometheus endpoint on this host.

    `limit` is what it may not exceed; `critical` trips the breaker. `name` is, for an endpoint, the series' name.
    """

    name: str
    kind: str
    at: tuple[str, ...]
    limit: float = float("inf")
    critical: bool = False


@dataclass(frozen=True, slots=True)
class Tls:
    """TCP with mutual TLS: the address, this host's certificate and key, and the authority of those who may ask."""

    host: str
    port: int
    certificate: Path
    key: Path
    authority: Path


@dataclass(frozen=True, slots=True)
class Config:
    """Where everything lies and how it behaves; times in s."""

    audience: str = ""
    host_class: str = ""
    trust: Path = Path("/etc/schedcp/trust")
    state: Path = Path("/var/lib/schedcp")
    socket: Path = Path("/run/schedcp/agent.sock")
    stop_files: tuple[Path, ...] = (Path("/run/schedcp/stop"), Path("/etc/schedcp/stop"))
    group: str = "schedcp"
    hold: Path = Path("/usr/lib/schedcp/schedcp-hold")
    sys: Path = Path("/sys")
    proc: Path = Path("/proc")
    cgroups: Path = Path("/sys/fs/cgroup")
    hotplug: bool = False
    require_log: bool = True
    lease_s: float = 1.0
    load_timeout_s: float = 30.0
    watch_s: float = 0.1
    sample_s: float = 0.5  # so that a metric beyond its limit is seen, and the policy off, within a second
    metrics_port: int = 0
    stats_socket: str = ""
    tls: Tls | None = None
    sources: tuple[Source, ...] = ()
    breaker: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        for name, low, high in (
            ("lease_s", 0.2, 10), ("load_timeout_s", 1, 600), ("watch_s", 0.02, 1), ("sample_s", 0.1, 60),
            ("metrics_port", 0, 65535),
        ):  # fmt: skip
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name}: {getattr(self, name)} is not from {low} to {high}")
        for limit in dataclasses.fields(self.breaker):
            if not 0 <= getattr(self.breaker, limit.name) < float("inf"):
                raise InputError(f"breaker.{limit.name}: is no number from 0 up")
        if self.breaker.quarantine_after < 1:
            raise InputError("breaker.quarantine_after: is not from 1 up")
        if not self.stop_files:
            raise InputError("stop_files: without one, the kill switch is nowhere")
        for source in self.sources:
            if source.kind not in ("command", "file", "prometheus") or not source.at or not source.name:
                raise InputError(f"sources: {source.name[:40]!r} needs name, kind (command, file, prometheus) and at")

    @property
    def who(self) -> str:
        """The audience that tokens for this host name."""
        return self.audience or machine_audience()


def read_config(path: Path = PLACE) -> Config:
    """The configuration; InputError that names file and member for anything wrong. No file: the defaults."""
    if not os.path.lexists(path):
        return Config()
    try:
        data = tomllib.loads(read_outside(path, LARGEST).decode())
        return _made(Config, data, "")  # type: ignore[no-any-return]
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())[:200]}") from None
    except InputError as error:
        raise InputError(f"{path}: {error}" if not str(error).startswith(str(path)) else str(error)) from None


def _made(kind: Any, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise InputError(f"{where or 'it'}: is no table")
    hints, values = get_type_hints(kind), {}
    for name, value in data.items():
        if name not in hints:
            raise InputError(f"{where}{name}: there is no such member")
        values[name] = _value(hints[name], value, f"{where}{name}")
    try:
        return kind(**values)
    except TypeError:
        missing = [
            f.name for f in dataclasses.fields(kind) if f.name not in values and f.default is dataclasses.MISSING
        ]
        raise InputError(f"{where}{missing[0]}: is missing") from None


def _value(kind: Any, value: Any, where: str) -> Any:
    table = {Tls | None: Tls, Limits: Limits}.get(kind)
    if table:
        return _made(table, value, f"{where}.")
    if kind in (tuple[Source, ...], tuple[Path, ...], tuple[str, ...]):
        if not isinstance(value, list) or len(value) > 64:
            raise InputError(f"{where}: is no list, or a long one")
        of = kind.__args__[0]
        made = _made if of is Source else _value
        return tuple(made(of, item, f"{where}[{at}]" + "." * (of is Source)) for at, item in enumerate(value))
    if kind is float and type(value) is int:
        return float(value)
    wanted = str if kind is Path else kind
    if type(value) is not wanted:
        raise InputError(f"{where}: is no {wanted.__name__}")
    if kind is Path and (not value.startswith("/") or "\0" in value):
        raise InputError(f"{where}: is no absolute path")
    return kind(value)

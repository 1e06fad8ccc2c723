# SPDX-License-Identifier: Apache-2.0
"""The fields of a machine's descriptor as its file gives them, in the units of people."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

_STRICT = {"strict": True, "extra": "forbid"}


@dataclass(frozen=True, slots=True)
class Counted:
    """Table `topology`: how the CPUs lie."""

    __pydantic_config__: ClassVar[Any] = _STRICT
    cpus: int
    llcs: int = 1
    smt: int = 1
    nodes: int = 1


@dataclass(frozen=True, slots=True)
class Priced:
    """Table `costs`, in the units of people: GB/s and shares of full speed; what is None was not given."""

    __pydantic_config__: ClassVar[Any] = _STRICT
    user_ps: int | None = None
    kernel_ps: int | None = None
    switch_ns: int | None = None
    l2_kib: int | None = None
    llc_kib: int | None = None
    llc_gbps: float | None = None
    memory_gbps: float | None = None
    remote_gbps: float | None = None
    node_gbps: float | None = None
    beyond_llc: float | None = None
    smt: float | None = None
    turbo: tuple[float, ...] | None = None
    idle_exit: tuple[tuple[int, int], ...] | None = None
    capacity: tuple[float, ...] | None = None
    user_kib: int | None = None
    kernel_kib: int | None = None


@dataclass(frozen=True, slots=True)
class Described:
    """The whole file; `sources` says where each number of `costs`, and the topology, comes from."""

    __pydantic_config__: ClassVar[Any] = _STRICT
    name: str
    title: str
    topology: Counted
    costs: Priced = field(default_factory=Priced)
    sources: dict[str, str] = field(default_factory=dict)

# SPDX-License-Identifier: Apache-2.0
"""What a machine or a user may set: every field is read from SCHEDCP_<FIELD> in the environment."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from benchmarks.machines import HOST, is_path, unknown_machine
from benchmarks.workloads import WorkloadSize
from policy_lake import limits
from policy_lake.embed import embedder
from policy_lake.errors import InputError
from policy_lake.limits import Limit
from policy_lake.show import for_terminal, is_utf8, written
from policy_lake.topology import Topology, parse_topology
from verifier_vm.verdict import REQUIREMENTS, bugs_of

# A run of tier full takes some ten times as long as one of tier standard, and so does what is made of such runs.
_FULL = 10.0
# What may stand in a link of Markdown as it is.
_ADDRESS = re.compile(r"(https?://[A-Za-z0-9.:\[\]-]+|file://)(/[A-Za-z0-9._~%/-]*)?")
_NOT_UTF8 = "not UTF-8"  # what is kept names its place, and is JSON


def _xdg(variable: str, fallback: str) -> Path:
    # The XDG specification says that a relative value is to be ignored.
    value = Path(os.environ.get(variable) or fallback)
    if not is_utf8(str(value)):
        raise InputError(f"{variable if os.environ.get(variable) else 'HOME'}='{value}': {_NOT_UTF8}")
    return (value if value.is_absolute() else Path.home() / fallback) / "schedcp"


def _patience(chosen: dict[str, Any]) -> float:
    return _FULL if chosen.get("tier") == "full" else 1.0


def number(limit: Limit, **more: Any) -> Any:
    """A field within the limit, with its default unless another is given."""
    chosen = more if "default" in more or "default_factory" in more else {"default": limit.default, **more}
    return Field(ge=limit.low, le=limit.high, **chosen)


def _data_dir() -> Path:
    return _xdg("XDG_DATA_HOME", str(Path.home() / ".local/share"))


def _cache_dir() -> Path:
    return _xdg("XDG_CACHE_HOME", str(Path.home() / ".cache"))


class Settings(BaseSettings):
    """Where things lie, how large a guest is, how many run at once, and how long anything may take."""

    model_config = SettingsConfigDict(
        env_prefix="SCHEDCP_", frozen=True, protected_namespaces=(), env_ignore_empty=True
    )

    data_dir: Path = Field(default_factory=_data_dir)
    cache_dir: Path = Field(default_factory=_cache_dir)
    lake: Path | None = None
    key_store: Path | None = None
    kernel: Path | None = None
    verifier: Path | None = Field(default=None, description="socket of a verifier service; none: one of our own")
    audience: str = ""
    certificates: Path | None = Field(
        default=None, description="directory of ca.pem and control-plane.{pem,key}, for hosts of no fleet of ours"
    )
    for_host: Path | None = Field(default=None, description="a host file: verify on that host's kernel, for it")

    report_url: str = Field(
        default="", description="where the pages of `schedcp report` are served, for links to them; empty: nowhere"
    )

    embedder: str = "wordllama"
    model: str = ""
    model_url: str = ""
    model_api_key: SecretStr = Field(default=SecretStr(""), exclude=True, repr=False)
    model_max_tokens: int = number(limits.MODEL_TOKENS)
    model_max_cost_usd: float = number(limits.MODEL_COST_USD)
    model_price_in_usd_per_mtok: float = number(limits.MODEL_PRICE_USD)
    model_price_out_usd_per_mtok: float = number(limits.MODEL_PRICE_USD)
    model_timeout_s: float = number(limits.MODEL_TIMEOUT_S)
    model_max_tokens_day: int = number(
        limits.MODEL_DAY_TOKENS, description="of all runs since midnight UTC; 0: no limit"
    )
    model_max_cost_usd_day: float = number(limits.MODEL_DAY_USD, description="the same in dollars")
    model_answer_tokens: int = number(limits.MODEL_ANSWER_TOKENS, description="the longest reply that is asked for")
    model_temperature: float | None = number(limits.MODEL_TEMPERATURE, default=None, description="none: the server's")
    model_json: Literal["schema", "object", "none"] = Field(
        default="schema",
        description="the form that answers are asked in first; what a server does not take is left out",
    )
    model_rung: Literal["", "reuse", "configure", "compose", "slot", "patch", "write"] = Field(
        default="", description="the highest rung that a model may answer; empty: by what was measured"
    )
    model_prices: Path | None = Field(
        default=None, description="prices per model; none: prices.toml in the data directory"
    )
    model_cassette: Path | None = Field(default=None, description="a cassette to be played in the model's place")
    model_record: Path | None = Field(default=None, description="a cassette in which the model's answers are kept")

    tier: WorkloadSize = Field(default="standard", description="size in which a workload is run")
    work: str = Field(
        default="", description="numbers of a workload to be others than its tier's, NAME=NUMBER by spaces"
    )
    schbench: Path | None = Field(default=None, description="a schbench binary to run in place of our own program")

    verify_tier: Literal["short", "full"] = Field(default="short", description="which suite a winner must pass")
    min_coverage: int = number(
        limits.MIN_COVERAGE, description="per cent of a policy's branches to be tried for a token beyond the canary"
    )
    topologies: str = Field(default="", description="what else to try a policy on, words such as cpus=8,smt=2")
    require: str = Field(default="", description="what the hosts need of any policy, words by spaces")
    accel: Literal["auto", "kvm", "tcg"] = "auto"
    clock: Literal["auto", "virtual", "wall"] = "auto"
    cold: bool = Field(default=False, description="boot every guest instead of starting it from a snapshot")
    cpus: int = Field(
        default=0, ge=0, le=limits.CPUS.high, description="of a guest; 0 means as many as its workload asks for"
    )
    llcs: int = number(limits.LLCS, description="last-level caches over which a guest's CPUs are spread")
    smt: int = number(limits.SMT, description="CPUs of a guest that share a core")
    nodes: int = number(limits.NODES, description="NUMA nodes of a guest, of whole last-level caches")
    machine: str = Field(
        default="", description="what a guest's CPUs are taken for (`schedcp machines`); empty: this host, for a score"
    )
    memory_mib: int = number(limits.MEMORY_MIB)
    microvm_slots: int = number(limits.SLOTS, description="guests at once; 0 means as many as the host's CPUs bear")

    record_buffer_mib: int = number(limits.RECORD_BUFFER_MIB, description="perf's buffers for `record`, per CPU")
    guest_deadline_s: float = number(limits.DEADLINE_S, default_factory=lambda chosen: 180.0 * _patience(chosen))
    trial_deadline_s: float = number(limits.DEADLINE_S, default_factory=lambda chosen: 420.0 * _patience(chosen))
    build_deadline_s: float = number(limits.DEADLINE_S, default=60.0)
    cluster_deadline_s: float = number(limits.DEADLINE_S, default=90.0)

    @field_validator(
        "data_dir",
        "cache_dir",
        "lake",
        "key_store",
        "kernel",
        "schbench",
        "certificates",
        "verifier",
        "for_host",
        "model_prices",
        "model_cassette",
        "model_record",
    )
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        # Ray's workers have another working directory.
        return None if value is None else value.expanduser().absolute()

    @field_validator("machine", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return str(value.expanduser().absolute()) if isinstance(value, Path) else value

    @field_validator("machine")
    @classmethod
    def _at_its_place(cls, value: str) -> str:
        if wrong := unknown_machine(value, also=(HOST,)) if value else "":
            raise ValueError(wrong)
        # A path, as a workload's: whoever reads it later may be in another directory.
        return str(Path(value).expanduser().absolute()) if is_path(value) else value

    @field_validator("*")
    @classmethod
    def _utf8(cls, value: Any, info: ValidationInfo) -> Any:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if isinstance(text, Path | str) and info.field_name not in ("kernel", "schbench") and not is_utf8(str(text)):
            raise ValueError(_NOT_UTF8)
        return value

    @field_validator("report_url")
    @classmethod
    def _leads_somewhere(cls, value: str) -> str:
        if value and not _ADDRESS.fullmatch(value):
            raise ValueError("no address such as https://host/schedcp or file:///srv/schedcp")
        return value

    @field_validator("embedder")
    @classmethod
    def _known_embedder(cls, value: str) -> str:
        try:
            embedder(value)  # one that is there; its library is loaded with its first text
        except InputError as error:
            raise ValueError(str(error).partition(": ")[2]) from error
        return value

    @field_validator("require")
    @classmethod
    def _known_needs(cls, value: str) -> str:
        if unknown := [word for word in value.split() if word not in REQUIREMENTS]:
            raise ValueError(f"{unknown[0][:80]!r} is not one of {', '.join(REQUIREMENTS)}")
        return value

    @field_validator("topologies")
    @classmethod
    def _known_topologies(cls, value: str) -> str:
        try:
            for word in value.split():
                parse_topology(word, "topologies")
        except InputError as error:
            raise ValueError(str(error).removeprefix("topologies: ")) from error
        return value

    def __getstate__(self) -> dict[Any, Any]:
        # What is pickled goes to other processes and hosts, and none of them asks the model.
        state = super().__getstate__()
        return {**state, "__dict__": {**state["__dict__"], "model_api_key": SecretStr("")}}

    @property
    def required_bugs(self) -> frozenset[str]:
        """The bugs that `require` does not bear."""
        return bugs_of(self.require.split())

    @property
    def more_topologies(self) -> tuple[Topology, ...]:
        """What else than the tier's topologies a policy is tried on."""
        return tuple(parse_topology(word, "topologies") for word in self.topologies.split())

    @property
    def lake_dir(self) -> Path:
        return self.lake or self.data_dir / "lake"

    @property
    def key_dir(self) -> Path:
        return self.key_store or self.data_dir / "keys"

    @property
    def workload_dir(self) -> Path:
        """The user's own workloads, one descriptor each, named by its id."""
        return self.data_dir / "workloads"

    @property
    def token_dir(self) -> Path:
        return self.data_dir / "tokens"

    @property
    def object_dir(self) -> Path:
        """Compiled objects, each named by its own SHA-256."""
        return self.data_dir / "objects"

    @property
    def price_file(self) -> Path:
        """What models cost, if anybody wrote it down."""
        return self.model_prices or self.data_dir / "prices.toml"

    @property
    def model_use_dir(self) -> Path:
        """What models were paid, one file a day."""
        return self.data_dir / "model-use"

    @property
    def run_dir(self) -> Path:
        """Reports, one directory per run."""
        return self.data_dir / "runs"

    def slots(self, host_cpus: int) -> int:
        """How many guests that each keep so many host CPUs busy may run at once on this host."""
        return self.microvm_slots or max(1, len(os.sched_getaffinity(0)) // host_cpus)


OPTIONS = {"topologies": "topology", "for_host": "for"}  # settings of which an option gives one at a time, repeatable


LIE = ("llcs", "smt", "nodes")  # how a guest's CPUs lie, which a machine says itself


def load_settings(**options: Any) -> Settings:
    """The settings of this process's environment, with the options that are given (not None) in place of theirs.

    To be called at an entry (a command, a deployed flow); what it starts is handed the value. InputError names the
    option or the variable that is wrong.
    """
    given = {name: value for name, value in options.items() if value is not None}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        field, value, wrong = first_fault(error)
        name = f"--{OPTIONS.get(field, field).replace('_', '-')} " if field in given else f"SCHEDCP_{field.upper()}="
        raise InputError(f"{name}{value}: {wrong}") from None
    # Also where it is what a machine of that many CPUs has: of another count it may not be.
    if settings.machine not in ("", "flat") and (own := next((name for name in LIE if name in given), "")):
        raise InputError(
            f"--{own} {given[own]}: the machine '{for_terminal(settings.machine[:60])}' says how its CPUs lie"
        )
    return settings


def first_fault(error: ValidationError) -> tuple[str, str, str]:
    """Of what pydantic found wrong with settings the first: the field, its value in quotes, and what is wrong."""
    first = error.errors()[0]
    field, context = str(first["loc"][0]), first.get("ctx", {})
    value = "it" if field == "model_api_key" else f"'{for_terminal(written(first['input'])[:60])}'"
    known = get_args(Settings.model_fields[field].annotation) if first["type"] == "literal_error" else ()
    wrong = {
        "literal_error": f"not one of {', '.join(map(str, known))}",
        "greater_than_equal": f"less than {context.get('ge')}",
        "less_than_equal": f"more than {context.get('le')}",
        "int_parsing": "not a whole number", "int_from_float": "not a whole number", "float_parsing": "not a number",
        "bool_parsing": "neither true nor false", "extra_forbidden": "there is no such setting",
    }.get(first["type"], first["msg"].removeprefix("Value error, "))  # fmt: skip
    beyond = first["type"] in ("greater_than_equal", "less_than_equal") and not isinstance(first["input"], int)
    if beyond and math.isnan(float(first["input"])):
        wrong = "not a number"
    return field, value, wrong

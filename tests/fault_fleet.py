# SPDX-License-Identifier: Apache-2.0
"""One real host for faults: tokens by the real signer's code for a policy that stalls on demand, and a shell in it."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from token_cases import REQUEST

from bpf.build import compile_policy
from tasks.host.guest import prepare_guest
from tasks.host.settings import Settings
from tasks.hosts import fleet, given
from tasks.hosts.host import connected
from tasks.hosts.places import address_of, host_directory
from tasks.hosts.reach import Address, ask
from tasks.hosts.records import FleetOrder
from tasks.rollout.spec import _trust
from verifier_vm.machine.host_line import AGENT_PORT, CONSOLE
from verifier_vm.tokens import signer
from verifier_vm.tokens.public_key import PUBLIC, read_public_key
from verifier_vm.tokens.terms import BreakerLimits

PARTS = Path(__file__).parent / "fleet_faults"
IN_GUEST, HERE = "usr/lib/schedcp-faults", "faults"
STALL_S, P99_BASE_S, P99_RATIO, SILENCE_S, LEASE_S = 1.5, 0.010, 1.5, 10.0, 5.0
# Of tokens for stalls, and for all else, where a host that has hardly any time must not be taken for a stall.
LIMITS = {
    True: BreakerLimits(stall_ms=round(STALL_S * 1000), p99_ratio=P99_RATIO),
    False: BreakerLimits(stall_ms=10_000, p99_ratio=P99_RATIO),
}
# The agent as it is, but for what a test wants sooner, or root to be asked for: one trip is quarantine.
CONFIGURATION = f"""
audience = "fleet:{HERE}"
metrics_port = 9464
load_timeout_s = 120

[tls]
host = "0.0.0.0"
port = {AGENT_PORT}
certificate = "/{given.TLS}/host.pem"
key = "/{given.TLS}/host.key"
authority = "/{given.TLS}/ca.pem"

[breaker]
metrics_silence_s = {SILENCE_S}
quarantine_after = 1
task_wait_s = 10

[[sources]]
name = "p99_s"
kind = "file"
at = ["/run/faults/p99_s"]

[[sources]]
name = "schedcp_fault_endpoint"
kind = "prometheus"
at = ["http://127.0.0.1:9917/metrics"]
"""


class FaultHost:
    """The host, up. `settings` are of a data directory of its own."""

    def __init__(self, settings: Settings, tokens: int, workload: str, say: fleet.Progress) -> None:
        self.settings, self.name, self._say = settings, f"{HERE}-1", say
        self.keys, self.order = settings.key_dir, FleetOrder(HERE, 1, 1, 1024, workload, "wall")
        source = PARTS / "stalls.bpf.c"
        headers = prepare_guest(settings).kernel.headers
        self.image = compile_policy(source.read_text(), name=source.name, vmlinux_dir=headers).data
        self._tokens = tokens

    def up(self) -> None:
        """Boots it with the driver's files, signs its tokens, and tells it of them."""
        key_id = signer.open_store(signer.Place(self.keys), None, lambda _: None)["key_id"]
        trust = self.settings.data_dir / "trust"
        trust.mkdir(exist_ok=True)
        for path in (*self.keys.glob("*.json"), *self.keys.glob("*.jsonl"), self.keys / PUBLIC):
            (trust / path.name).write_bytes(path.read_bytes())
        assert read_public_key(trust / PUBLIC).id == key_id
        (trust / "allow-lab").write_text(f"{key_id}\n")
        usual = fleet.giver

        def giver(order: FleetOrder, settings: Settings) -> Any:
            with_usual = usual(order, settings)

            def more(host: Any, more: Mapping[str, tuple[bytes, int]] | None = None) -> bytes:
                files = {f"{IN_GUEST}/{path.name}": (path.read_bytes(), 0o644) for path in PARTS.glob("*.py")}
                files["etc/schedcp/agent.toml"] = (CONFIGURATION.encode(), 0o644)
                return bytes(with_usual(host, {**files, **(more or {})}))

            return more

        fleet.giver = giver
        try:
            found = fleet.up(self.order, self.settings, self._say, trust=trust)
        finally:
            fleet.giver = usual
        assert found.whole, found
        here = ask(self.address, "describe", timeout_s=60).fields
        request = replace(
            REQUEST, policy="stalls", object_sha256=hashlib.sha256(self.image).hexdigest(), arguments=(),
            kernel=here["kernel"], btf_sha256=here["btf_sha256"], audience=here["audience"], workload="", score=None,
            coverage=None,
        )  # fmt: skip
        kinds = {  # by two names, since of one name a host takes no older token after a newer one
            stalls: replace(request, breaker=limits, policy=f"stalls-{'soon' if stalls else 'late'}")
            for stalls, limits in LIMITS.items()
        }
        self.tokens = {
            stalls: [signer.issue(self.keys, of)["envelope"] for _ in range(self._tokens)]
            for stalls, of in kinds.items()
        }
        told = ask(self.address, "trust", timeout_s=60, **_trust(str(self.keys)))
        assert told.ok, told

    @property
    def address(self) -> Address:
        """Where its agent answers."""
        return address_of(self.name, self.settings)

    @property
    def place(self) -> Path:
        """Its directory."""
        return host_directory(self.name, self.settings)

    def attach(self, *, stalls: bool = False, **how: Any) -> float:
        """Attaches the policy by the next token, as a canary or as `how` says; seconds in the kernel."""
        token = base64.b64encode(json.dumps(self.tokens[stalls].pop(0)).encode()).decode()
        answer = ask(
            self.address, "attach", timeout_s=180, token=token, object=base64.b64encode(self.image).decode(), knobs=[],
            stage="canary", **{"lease": LEASE_S, "p99_base_s": P99_BASE_S, **how},
        )  # fmt: skip
        if not answer.ok:
            raise RuntimeError(f"{answer.code}: {answer.message}")
        return float(answer.fields["attach_s"])

    def down(self) -> None:
        """Ends it, whatever state it is in."""
        with suppress(Exception):
            fleet.down(HERE, self.settings)


class Shell:
    """The driver in the guest, over the host's console."""

    def __init__(self, host: FaultHost) -> None:
        self._held = connected(host.place, CONSOLE)
        self._socket: socket.socket = self._held.__enter__()
        self._text = b""
        self._send(f"stty -echo; cd /{IN_GUEST} && exec python3 -u in_guest.py")
        self.read(60)

    def close(self) -> None:
        """No more."""
        self._held.__exit__(None, None, None)

    def do(self, what: str, timeout_s: float = 120.0, **of: Any) -> Any:
        """What the driver answers; RuntimeError for what went wrong there."""
        self.begin(what, **of)
        return self.end(timeout_s)

    def begin(self, what: str, **of: Any) -> None:
        """Asks for it."""
        self._send(json.dumps({"do": what, **of}))

    def end(self, timeout_s: float = 120.0) -> Any:
        """The answer; what the kernel printed into the middle of it is asked for again."""
        for _ in range(5):
            told = self.read(timeout_s)
            if told is not None:
                if not told["ok"]:
                    raise RuntimeError(told["why"])
                return told["told"]
            time.sleep(0.5)
            self._send(json.dumps({"do": "again"}))
        raise RuntimeError("its answers cannot be read")

    def read(self, timeout_s: float) -> Any:
        """The next line that is for us; None for one that is no JSON."""
        limit = time.monotonic() + timeout_s
        while True:
            while b"\n" in self._text:
                line, _, self._text = self._text.partition(b"\n")
                if b"@@" in line:
                    try:
                        return json.loads(line.partition(b"@@")[2])
                    except ValueError:
                        return None
            self._socket.settimeout(max(0.1, limit - time.monotonic()))
            self._text += self._socket.recv(1 << 16)

    def _send(self, line: str) -> None:
        self._socket.settimeout(30)
        self._socket.sendall(line.encode() + b"\n")

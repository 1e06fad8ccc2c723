# SPDX-License-Identifier: Apache-2.0
"""Hostile messages for the agent's socket: `PYTHONPATH=. python tests/fuzz_agent.py [COUNT] [SEED]`, by default 10,000.

No message may end the agent, attach anything, or keep it from answering the next one.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from agent_cases import FakeHost, Running, attach_words

from host_agent.protocol import MEMBERS
from host_agent.serve import Server

VALUES: list[Any] = [
    None, True, 0, -1, 1e308, 10**19, "", "x", "\x1b[2J", "é" * 70, "A" * 5000, [], {}, [[[]]], {"a": {"b": {}}},
    "e30=", "AAAA", ["x=1"], ["ops.use=a"] * 63, "canary", "fleet", "full", "partial", "../..",
]  # fmt: skip


def message(rng: random.Random, good: dict[str, Any]) -> bytes:
    """One line: damaged JSON, bytes, deep nests, known requests with members of any kind, a good one changed."""
    kind = rng.randrange(7)
    if kind == 0:
        return rng.randbytes(rng.randrange(200)).replace(b"\n", b"") + b"\n"
    if kind == 1:
        return (
            rng.choice([b"[" * 5000, b'{"a":' * 400, b'{"v":1,"v":1}', b'{"v":NaN}', b"\xff\xfe", b'"', b"null"])
            + b"\n"
        )
    name = rng.choice([*MEMBERS, "", "attach", "ATTACH", "x" * 99])
    members = [*MEMBERS.get(name, ({}, {}))[0], *MEMBERS.get(name, ({}, {}))[1], "extra"]
    data: dict[str, Any] = {
        "v": rng.choice([1, 1, 1, 1, 2, "1", 1.0, True]),
        "req": name,
        "id": rng.choice(["a", "", 7]),
    }
    if kind < 5:
        data |= {member: rng.choice(VALUES) for member in members if rng.random() < 0.7}
    else:
        data = {"v": 1, "req": "attach", "id": "a", **good}
        data[rng.choice([*good, "mode", "lease"])] = rng.choice(VALUES)
    line = bytearray(json.dumps(data).encode())
    if kind in (4, 6):
        for _ in range(rng.randrange(1, 6)):
            line[rng.randrange(len(line))] = rng.choice(b'{}[]",:\\0a\x00\xff')
    return bytes(line).replace(b"\n", b" ") + b"\n"


async def fuzz(root: Path, count: int, seed: int) -> Counter[str]:
    """Sends them; the codes that were answered. AssertionError where anything was attached or no answer came."""
    host, rng = FakeHost(root), random.Random(seed)
    here = Running(host)
    await here.agent.start()
    server = Server(here.agent.config, here.desk)
    await server.start()
    watching = asyncio.create_task(here.watcher.run())
    good, codes = attach_words(host.token(audience="another host", score=None)), Counter[str]()
    reader, writer = await asyncio.open_unix_connection(here.agent.config.socket, limit=1 << 22)
    for number in range(count):
        line = message(rng, good)
        writer.write(line)
        if line == b"\n":
            continue
        answer = json.loads(await asyncio.wait_for(reader.readline(), 30))
        codes[answer.get("code", "ok")] += 1
        assert host.state == "disabled" and here.agent.on is None, (number, line[:300])
        assert not watching.done()
        for stop in here.agent.config.stop_files:
            stop.unlink(missing_ok=True)
        if rng.random() < 0.01:
            writer.close()
            reader, writer = await asyncio.open_unix_connection(here.agent.config.socket, limit=1 << 22)
    assert not (host.sys / "seen.json").exists()
    watching.cancel()
    await server.close()
    return codes


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        count, seed = [*map(int, sys.argv[1:3]), *(10_000, 1)[len(sys.argv) - 1 :]]
        print(asyncio.run(fuzz(Path(directory), count, seed)))

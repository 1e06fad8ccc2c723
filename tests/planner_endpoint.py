# SPDX-License-Identifier: Apache-2.0
"""A real HTTP server on a free local port that speaks the chat completions protocol from a script."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tasks.planners.endpoint import ModelEndpoint

Turn = Callable[[BaseHTTPRequestHandler], None]


class Endpoint:
    """A server on a free local port that plays one scripted turn per request, the last one for ever."""

    def __init__(self, *turns: Turn) -> None:
        self.turns, self.requests = list(turns), []
        self.released = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                owner.requests.append((self.path, self.headers["Authorization"], body))
                turn = owner.turns.pop(0) if len(owner.turns) > 1 else owner.turns[0]
                turn(self)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    def says(self, **more: Any) -> ModelEndpoint:
        return ModelEndpoint(**({"url": self.url, "model": "tiny", "api_key": "secret-key", "timeout_s": 20.0} | more))


@contextmanager
def serving() -> Iterator[Callable[..., Endpoint]]:
    """Starts servers, and ends them all."""
    servers: list[Endpoint] = []

    def start(*turns: Turn) -> Endpoint:
        servers.append(Endpoint(*turns))
        return servers[-1]

    try:
        yield start
    finally:
        for server in servers:
            server.close()


def send(handler: BaseHTTPRequestHandler, status: int, body: dict[str, Any]) -> None:
    data = json.dumps(body).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)


def text(content: str, *, usage: bool = True) -> Turn:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    body: dict[str, Any] = {"id": "x", "object": "chat.completion", "created": 1, "model": "tiny", "choices": [choice]}
    if usage:
        body["usage"] = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}
    return lambda handler: send(handler, 200, body)


def plans(*entries: tuple[str, dict[str, Any]], usage: bool = True) -> Turn:
    told = [
        {"policy": id, "knob_values": [{"knob": k, "value": v} for k, v in knob_values.items()], "reason": f"why\n{id}"}
        for id, knob_values in entries
    ]
    return text(json.dumps({"plans": told}), usage=usage)


def error(status: int, message: str = "broken") -> Turn:
    return lambda handler: send(handler, status, {"error": {"message": message, "type": "x", "code": "x"}})


def drip(server: list[Endpoint]) -> Turn:
    """One byte at a time: each is in time, the whole never is."""

    def turn(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        while not server[0].released.wait(0.05):
            try:
                handler.wfile.write(b" ")
            except OSError:
                return

    return turn

# SPDX-License-Identifier: Apache-2.0
"""Embedders: unit vectors, the same every time; the endpoint is a real server on the loopback."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

from policy_lake.embed import BATCH, EndpointEmbedder, HashEmbedder, embedder
from policy_lake.errors import InfraError, InputError

POLICIES = [
    "longest job first: starts the longest jobs first so that a batch with one huge file ends sooner",
    "round robin with short slices: cuts the tail latency of requests that wake up often",
    "per-CPU queues with stealing: keeps caches warm, throughput of many compile jobs",
]


@pytest.fixture
def server():
    asked = []

    class Handler(BaseHTTPRequestHandler):
        answer = staticmethod(lambda texts: [[float(len(text)), 1.0, 0.0] for text in texts])
        status = 200

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((self.path, self.headers.get("Authorization"), body))
            rows = [{"index": i, "embedding": v} for i, v in enumerate(self.answer(body["input"]))]
            content = json.dumps({"data": rows[::-1]}).encode()
            self.send_response(self.status)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    http = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    http.asked, http.handler = asked, Handler
    http.spec = f"openai:small@http://127.0.0.1:{http.server_port}/v1"
    yield http
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.mark.parametrize("spec", ["wordllama", "hash:16"])
def test_vectors_are_unit_and_repeatable(spec):
    tool = embedder(spec)
    vectors = tool.embed([*POLICIES, ""])
    assert vectors.shape == (4, tool.dimensions) and vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), [1, 1, 1, 0], atol=1e-5)
    assert np.array_equal(vectors[:1], embedder(spec).embed(POLICIES[:1]))
    assert tool.embed([]).shape == (0, tool.dimensions)
    assert tool.name == spec


def test_wordllama_knows_meaning():
    tool = embedder("wordllama")
    asked = ["video transcoding where one file is much larger", "p99 response time of a web server", "make -j kernel"]
    assert list(np.argmax(tool.embed(asked) @ tool.embed(POLICIES).T, axis=1)) == [0, 1, 2]


def test_a_hash_is_the_same_in_another_process():
    code = "from policy_lake.embed import embedder as e; print(e('hash:8').embed(['one two']).tolist())"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(out) == HashEmbedder(8).embed(["one two"]).tolist()


def test_an_endpoint_is_asked_in_batches_and_in_order(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sesame")
    tool = embedder(server.spec)
    vectors = tool.embed(["x" * n for n in range(BATCH + 6)])
    assert [len(body["input"]) for _, _, body in server.asked] == [BATCH, 6]
    path, key, body = server.asked[0]
    assert (path, key, body["model"]) == ("/v1/embeddings", "Bearer sesame", "small")
    assert np.allclose(vectors[:, 0] / vectors[:, 1], range(BATCH + 6)) and tool.dimensions == 3


@pytest.mark.parametrize(
    ("status", "answer", "why"),
    [
        (500, None, "HTTP status 500"),
        (200, lambda texts: [], "0 vectors for 1 texts"),
        (200, lambda texts: ["no vector"], "no numbers"),
        (200, lambda texts: [[float("nan"), 1.0]], "no numbers"),
    ],
)
def test_an_endpoint_that_misbehaves_is_infrastructure(server, status, answer, why, monkeypatch):
    monkeypatch.setattr(server.handler, "status", status)
    if answer:
        monkeypatch.setattr(server.handler, "answer", staticmethod(answer))
    with pytest.raises(InfraError, match=why) as caught:
        embedder(server.spec).embed(["text"])
    assert "\n" not in str(caught.value)


def test_a_dead_endpoint_is_infrastructure():
    with pytest.raises(InfraError, match=r"http://127.0.0.1:1/v1: ConnectError"):
        EndpointEmbedder("m", "http://127.0.0.1:1/v1").embed(["text"])


@pytest.mark.parametrize("spec", ["", "bert", "hash:0", "hash:x", "openai:model", "openai:m@ftp://host"])
def test_an_unknown_spec_is_bad_input(spec):
    with pytest.raises(InputError, match="it must be wordllama, hash"):
        embedder(spec)

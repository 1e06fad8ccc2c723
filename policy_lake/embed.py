# SPDX-License-Identifier: Apache-2.0
"""Text embedders for searching the lake: bundled and offline by default, an endpoint or a plain hash by choice."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from policy_lake.errors import InfraError, InputError
from policy_lake.limits import EMBEDDING_BYTES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

BATCH = 64


class Embedder(Protocol):
    """Turns texts into unit vectors; two embedders with one `name` must give the same vectors."""

    @property
    def name(self) -> str:
        """The spec that `embedder` makes it from."""

    @property
    def dimensions(self) -> int:
        """The length of a vector."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One unit vector a text (a zero vector for a text without words): float32, shape (texts, dimensions)."""


def embedder(spec: str = "wordllama") -> Embedder:
    """The embedder a spec names: `wordllama`, `hash[:DIMENSIONS]`, or `openai:MODEL@URL` with URL up to `/v1`.

    The endpoint's key, if it wants one, comes from the environment variable OPENAI_API_KEY.
    """
    if spec == "wordllama":
        return WordLlamaEmbedder()
    if hashed := re.fullmatch(r"hash(?::([1-9]\d{0,3}))?", spec):
        return HashEmbedder(int(hashed[1] or 64))
    if remote := re.fullmatch(r"openai:([^@\s]+)@(https?://[^\s?#]+)", spec):
        return EndpointEmbedder(remote[1], remote[2].rstrip("/"))
    raise InputError(f"embedder {spec!r}: it must be wordllama, hash, hash:DIMENSIONS or openai:MODEL@URL")


class WordLlamaEmbedder:
    """Static word embeddings that come inside the wordllama wheel: no network, no model server."""

    name = "wordllama"
    dimensions = 256

    @cached_property
    def _model(self) -> Any:
        from pathlib import Path

        import wordllama

        # Without `cache_dir` release 0.4.0 looks for its own tokenizer in the wrong folder of the package.
        folder = Path(wordllama.__file__).parent
        try:
            return wordllama.WordLlama.load(cache_dir=folder, disable_download=True)
        except (OSError, ValueError) as error:
            raise InfraError(f"wordllama's bundled model in {folder} cannot be read: {error}") from error

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See Embedder."""
        import numpy as np

        if not texts:
            return np.zeros((0, self.dimensions), np.float32)
        return _unit(self._model.embed(list(texts)))


class HashEmbedder:
    """Words hashed to signed buckets: knows nothing of meaning, needs nothing, gives the same vectors everywhere."""

    def __init__(self, dimensions: int = 64) -> None:
        self.dimensions = dimensions
        self.name = f"hash:{dimensions}"

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See Embedder."""
        import numpy as np

        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        for row, text in enumerate(texts):
            for word in re.findall(r"\w+", text.lower()):
                bits = int.from_bytes(hashlib.blake2b(word.encode(errors="replace"), digest_size=8).digest(), "big")
                vectors[row, (bits >> 1) % self.dimensions] += 1 if bits & 1 else -1
        return _unit(vectors)


class EndpointEmbedder:
    """A server that speaks the OpenAI protocol's POST /v1/embeddings."""

    def __init__(self, model: str, url: str, *, timeout_s: float = 30.0) -> None:
        self.model = model
        self.url = url
        self.timeout_s = timeout_s
        self.name = f"openai:{model}@{url}"

    @cached_property
    def dimensions(self) -> int:
        """See Embedder; asks the server once."""
        return int(self.embed(["dimensions"]).shape[1])

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See Embedder; InfraError if the server does not answer as the protocol says."""
        import numpy as np

        vectors = [v for i in range(0, len(texts), BATCH) for v in self._ask(list(texts[i : i + BATCH]))]
        if not vectors:
            return np.zeros((0, self.dimensions), np.float32)
        try:
            return _unit(np.asarray(vectors, np.float32))
        except (ValueError, TypeError) as error:
            raise InfraError(f"embeddings from {self.url}: vectors of unequal length or no numbers") from error

    def _ask(self, texts: list[str]) -> list[list[float]]:
        import httpx

        try:
            rows = sorted(json.loads(self._body(texts))["data"], key=lambda row: row["index"])
            vectors = [row["embedding"] for row in rows]
        except httpx.HTTPStatusError as error:
            raise InfraError(f"embeddings from {self.url}: HTTP status {error.response.status_code}") from error
        except (httpx.HTTPError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise InfraError(f"embeddings from {self.url}: {type(error).__name__}: {error!s:.200}") from error
        if len(vectors) != len(texts):
            raise InfraError(f"embeddings from {self.url}: {len(vectors)} vectors for {len(texts)} texts")
        return vectors

    def _body(self, texts: list[str]) -> bytes:
        """The answer's bytes, packed or not; ValueError for more of them than any answer has."""
        import httpx

        key = os.environ.get("OPENAI_API_KEY")
        headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {key}"} if key else {})
        asked = {"model": self.model, "input": texts, "encoding_format": "float"}
        url = f"{self.url}/embeddings"
        with httpx.stream("POST", url, json=asked, headers=headers, timeout=self.timeout_s) as answer:
            answer.raise_for_status()
            body = bytearray()
            for piece in answer.iter_raw():  # as sent: unpacked, a few bytes may be gigabytes
                body += piece
                if len(body) > EMBEDDING_BYTES:
                    raise ValueError(f"the body is larger than {EMBEDDING_BYTES >> 20} MiB")
        return bytes(body)


def _unit(vectors: Any) -> Vectors:
    import numpy as np

    vectors = np.asarray(vectors, np.float32)
    if not np.isfinite(vectors).all():
        raise ValueError("a vector is not finite")
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    return unit

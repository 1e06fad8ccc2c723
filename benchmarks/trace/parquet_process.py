# SPDX-License-Identifier: Apache-2.0
"""Parquet files from outside, read by a process of its own (parquet_server.py says why), and what it answers."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from policy_lake.errors import SETUP, InfraError, InputError
from policy_lake.limits import TRACE_OPS, TRACE_ROOM_BYTES, TRACE_S
from policy_lake.secrets import child_environment

if TYPE_CHECKING:
    from numpy.typing import NDArray

LACKING = 69  # the status of parquet_server.py without its libraries: EX_UNAVAILABLE of sysexits.h
SERVER = Path(__file__).with_name("parquet_server.py")
# Arrow would else keep memory of its own, and numpy a thread for each CPU, both of which count against the limit.
SMALL = {"ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@dataclass(frozen=True, slots=True)
class Table:
    """What a file holds: our part of its metadata, the columns as 64-bit integers, for words their places in `words`.

    `error` says why there are no columns in a file that is whole.
    """

    metadata: Mapping[str, bytes]
    columns: Mapping[str, NDArray[np.int64]]
    words: Mapping[str, tuple[str, ...]]
    error: str = ""


class ParquetReader:
    """A process that reads files one after the other; one that a file has ended is started anew for the next."""

    def __init__(self, types: Mapping[str, str]) -> None:
        self._types = dict(types)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @property
    def pid(self) -> int:
        """The process's id, 0 where there is none."""
        return self._process.pid if self._process else 0

    def read(self, data: bytes) -> Table:
        """What is in the bytes of a file; InputError for a damaged one, which may end the process, or take too long."""
        process = self._process or self._start()
        late = threading.Timer(TRACE_S, process.kill)
        late.daemon = True
        late.start()
        try:
            return self._exchange(process, data)
        except (OSError, ValueError, KeyError) as error:
            self._end()
            if process.returncode == LACKING:
                raise InfraError(f"pyarrow cannot be loaded, so no trace can be read: run `{SETUP}`") from error
            ended = f"what reads it ended with status {process.returncode}"
            raise InputError(f"truncated or damaged, or takes too long: {ended}") from error
        finally:
            late.cancel()

    def _exchange(self, process: subprocess.Popen[bytes], data: bytes) -> Table:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(len(data).to_bytes(8, "little") + data)
        process.stdin.flush()
        answer = json.loads(_exactly(process.stdout, int.from_bytes(_exactly(process.stdout, 8), "little")))
        if "damage" in answer:
            raise InputError(answer["damage"])
        metadata = {name: text.encode("utf-8", "surrogateescape") for name, text in answer["metadata"].items()}
        if "error" in answer:
            return Table(metadata, {}, {}, answer["error"])
        rows, columns = int(answer["rows"]), {}
        for name in self._types:
            columns[name] = np.frombuffer(_exactly(process.stdout, 8 * rows), dtype="<i8").astype(np.int64)
        return Table(metadata, columns, {name: tuple(words) for name, words in answer["words"].items()})

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-I", str(SERVER), str(TRACE_OPS), str(TRACE_ROOM_BYTES), json.dumps(self._types)]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env=child_environment(**SMALL),
            )  # fmt: skip
        except OSError as error:
            raise InfraError(f"cannot start {sys.executable}: {error.strerror}") from error
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    try:
                        stream.close()
                    except OSError:  # what it was still to be sent
                        continue
            process.wait()


def _exactly(stream: Any, count: int) -> bytes:
    data: bytes = stream.read(count)
    if len(data) != count:
        raise ValueError("the process ended")
    return data

# SPDX-License-Identifier: Apache-2.0
"""A program: reads a Parquet file that anybody may have made, in a process of its own with limits of its own.

Of a file with a flipped byte, Arrow can make a crash (26.0 does, of a row group with too few columns), and of 300 kB
gigabytes. On stdin comes a length in 8 bytes and the file; to stdout goes the length of an answer in JSON, the answer,
and the columns that it names, `rows` 64-bit integers each. One request after the other, until stdin ends.

Arguments: the most rows, the most bytes of memory beside what the imports took, the columns with their types.
"""

import json
import resource
import sys
from typing import Any

try:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError:
    sys.exit(69)  # LACKING of parquet_process.py: no word of the file

MOST_THINGS = 1000  # row groups, columns, encodings: Arrow makes an object of each before it says how many there are
MOST_WORDS, LONGEST_WORD, LONGEST_TEXT = 256, 60, 4 << 20
WORDS = "words"  # the type of a column of few different words


def read(data: bytes, types: dict[str, str], most_rows: int) -> tuple[dict[str, Any], list[Any]]:
    """The answer, and the columns; in place of columns `damage` where the file is none, or `error` for another one."""
    answer: dict[str, Any] = {"metadata": {}}
    try:
        file = _opened(data, [])
        for name, text in (file.metadata.metadata or {}).items():
            if name.startswith(b"schedcp."):
                answer["metadata"][name.decode("ascii", "replace")] = text.decode("utf-8", "surrogateescape")
        if wrong := _misfit(file, types, most_rows):
            return answer | {"error": wrong}, []
        file = _opened(data, [name for name, kind in types.items() if kind == WORDS])
        table = file.read(columns=list(types), use_threads=False)
        columns, answer["words"] = [], {}
        for name, kind in types.items():
            column = table.column(name).combine_chunks()
            if column.null_count:
                return answer | {"error": f"field '{name}' has empty cells"}, []
            if kind == WORDS:
                if len(column.dictionary) > MOST_WORDS:
                    return answer | {"error": f"field '{name}' has too many different words"}, []
                answer["words"][name] = [text[:LONGEST_WORD] for text in column.dictionary.to_pylist()]
                column = column.indices
            columns.append(column.to_numpy(zero_copy_only=False).astype("<i8"))
    except MemoryError:
        return answer | {"error": "takes more room than any trace"}, []
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        return answer | {"damage": f"truncated or damaged: {str(error).partition(chr(10))[0]:.120}"}, []
    return answer | {"rows": len(table)}, columns


def _opened(data: bytes, words: list[str]) -> Any:
    return pq.ParquetFile(
        pa.BufferReader(data), read_dictionary=words, thrift_string_size_limit=LONGEST_TEXT,
        thrift_container_size_limit=MOST_THINGS,
    )  # fmt: skip


def _misfit(file: Any, types: dict[str, str], most_rows: int) -> str:
    schema = file.schema_arrow
    if file.metadata.num_rows > most_rows:
        return f"more operations than any trace has ({file.metadata.num_rows})"
    for name, wanted in types.items():
        if schema.get_field_index(name) < 0:
            return f"field '{name}' is missing"
        kind = schema.field(name).type
        fits = str(kind.value_type if pa.types.is_dictionary(kind) else kind) == (
            "string" if wanted == WORDS else wanted
        )
        if not fits:
            return f"field '{name}' must be of type {wanted}, not {kind!s:.60}"
    return ""


def main() -> None:
    """Answer what comes on stdin."""
    most_rows, room, types = int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - pathlib is one more import
        used = int(statm.read().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (used + room, used + room))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    source, out = sys.stdin.buffer, sys.stdout.buffer
    while len(head := source.read(8)) == 8:
        data = source.read(int.from_bytes(head, "little"))
        answer, columns = read(data, types, most_rows)
        text = json.dumps(answer).encode()
        out.write(len(text).to_bytes(8, "little") + text)
        for column in columns:
            out.write(np.ascontiguousarray(column).data)
        out.flush()


if __name__ == "__main__":
    main()

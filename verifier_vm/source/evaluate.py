# SPDX-License-Identifier: Apache-2.0
"""What libclang makes of a constant expression."""

from __future__ import annotations

from typing import Any

from clang import cindex


def evaluate(cursor: Any) -> int | None:
    """The value of a constant expression; None if it is none, or no integer."""
    lib = cindex.conf.lib
    result = lib.clang_Cursor_Evaluate(cursor)
    if not result:
        return None
    try:
        if lib.clang_EvalResult_getKind(result) != 1:
            return None
        if lib.clang_EvalResult_isUnsignedInt(result):
            return int(lib.clang_EvalResult_getAsUnsigned(result))
        return int(lib.clang_EvalResult_getAsLongLong(result))
    finally:
        lib.clang_EvalResult_dispose(result)

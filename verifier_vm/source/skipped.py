# SPDX-License-Identifier: Apache-2.0
"""Which lines of a policy the preprocessor left out: what stands in a branch that is never taken is not asked for."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import POINTER, Structure, c_uint, c_void_p
from typing import Any

from clang import cindex

from verifier_vm.source.parse import PATH

MOST_RANGES = 10_000  # more than any policy has conditions


class _Ranges(Structure):
    _fields_ = (("count", c_uint), ("ranges", POINTER(cindex.SourceRange)))


def skipped_lines(source: str, flags: Sequence[str]) -> list[tuple[int, int]]:
    """First and last line of each part that the preprocessor skips, the directives around it included.

    They are lines of the file, whatever a `#line` calls them. TranslationUnitLoadError where clang falls over.
    """
    lib = cindex.conf.lib
    lib.clang_getSkippedRanges.argtypes = [cindex.TranslationUnit, cindex.File]
    lib.clang_getSkippedRanges.restype = POINTER(_Ranges)
    lib.clang_disposeSourceRangeList.argtypes, lib.clang_disposeSourceRangeList.restype = [c_void_p], None
    unit: Any = cindex.Index.create().parse(
        PATH, args=list(flags), unsaved_files=[(PATH, source)],
        options=cindex.TranslationUnit.PARSE_DETAILED_PROCESSING_RECORD,
    )  # fmt: skip
    listed = lib.clang_getSkippedRanges(unit, unit.get_file(PATH))
    if not listed:
        return []
    try:
        found = [listed.contents.ranges[index] for index in range(min(listed.contents.count, MOST_RANGES))]
        return [(each.start.line, each.end.line) for each in found]
    finally:
        lib.clang_disposeSourceRangeList(listed)

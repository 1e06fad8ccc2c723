# SPDX-License-Identifier: Apache-2.0
"""Where a policy's code lies, from the line that the guest's loader prints (verifier_vm/guest/layout.c).

The loader has parsed a stranger's object, so that nothing in its line is believed: what does not fit is no layout, and
then it is not known what was executed. Whether the code is what ran, the blocks' check sums tell.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from itertools import pairwise
from typing import Any

from policy_lake.coverage import CodeFunction, CodeLine, ProgramLayout

JIT_AREA = range(0xFFFFFFFFC0000000, 2**64)
MOST_PROGRAMS, MOST_FUNCTIONS, MOST_LINES, MOST_CODE, MOST_FILES = 256, 1024, 65536, 1 << 20, 256
NAME_BYTES, FILE_BYTES = 128, 512


class LayoutError(Exception):
    """What the loader said of the code is not what the kernel can have told it."""


def parse_layout(text: str) -> tuple[ProgramLayout, ...]:
    """The programs in the loader's line; LayoutError for anything missing, malformed, or that contradicts itself."""
    if not text:
        raise LayoutError("the guest did not tell where the policy's code lies")
    try:
        answer = json.loads(text)
        if answer["missing"]:
            raise LayoutError(f"the kernel does not tell where the code of {answer['missing']!r:.80} lies")
        files = [_text(name, FILE_BYTES).removeprefix("./") for name in _list(answer["files"], MOST_FILES)]
        programs = tuple(_program(program, files) for program in _list(answer["programs"], MOST_PROGRAMS))
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise LayoutError(
            f"the guest's layout of the code is malformed: {' '.join(str(error).split())[:120]}"
        ) from error
    _apart(programs)
    if not programs:
        raise LayoutError("the guest tells of no program")
    return programs


def _program(program: Any, files: list[str]) -> ProgramLayout:
    name = _text(program["name"], NAME_BYTES)
    code = bytes.fromhex(_text(program["code"], 2 * MOST_CODE))
    functions, at = [], 0
    for start, size in _list(program["functions"], MOST_FUNCTIONS):
        first, length = _number(start, JIT_AREA), _number(size, range(1, MOST_CODE + 1))
        if first + length not in JIT_AREA or at + length > len(code):
            raise ValueError(f"{name}: a function of {length} bytes does not fit")
        functions.append(CodeFunction(first, code[at : at + length]))
        at += length
    if at != len(code) or not functions:
        raise ValueError(f"{name}: functions of {at} bytes, and {len(code)} bytes of code")
    lines = sorted((_line(line, files) for line in _list(program["lines"], MOST_LINES)), key=lambda line: line.address)
    starts = sorted(functions, key=lambda function: function.start)
    for line in lines:
        index = bisect_right(starts, line.address, key=lambda function: function.start) - 1
        if index < 0 or line.address >= starts[index].end:
            raise ValueError(f"{name}: line {line.line} lies outside the code")
    return ProgramLayout(name, tuple(functions), tuple(lines))


def _line(entry: Any, files: list[str]) -> CodeLine:
    address, file, line, column = entry
    name = files[_number(file, range(len(files)))]
    return CodeLine(_number(address, JIT_AREA), name, _number(line, range(1 << 22)), _number(column, range(1 << 10)))


def _apart(programs: tuple[ProgramLayout, ...]) -> None:
    functions = sorted((f for program in programs for f in program.functions), key=lambda f: f.start)
    for one, next_one in pairwise(functions):
        if one.end > next_one.start:
            raise LayoutError("the guest tells of two functions at one place")
    if len({program.name for program in programs}) != len(programs):
        raise LayoutError("the guest tells of two programs of one name")


def _list(value: Any, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise ValueError(f"no list of at most {most}: {value!r:.40}")
    return value


def _text(value: Any, most: int) -> str:
    fits = isinstance(value, str) and len(value) <= most and value.isascii() and value.isprintable()
    return str(_checked(value, fits))


def _number(value: Any, within: range) -> int:
    number = isinstance(value, int) and not isinstance(value, bool)
    return int(_checked(value, number and value in within))


def _checked(value: Any, fits: bool) -> Any:
    if not fits:
        raise ValueError(f"not as the loader prints it: {value!r:.40}")
    return value

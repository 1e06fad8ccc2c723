# SPDX-License-Identifier: Apache-2.0
"""libclang's tree made small: only what stands in the policy's own file, in the words of tree.py."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from ctypes import POINTER, byref, c_int, c_longlong, c_uint, c_ulonglong, c_void_p
from typing import Any

from clang import cindex

from verifier_vm.source.tree import Function, Mirror, Node, Program

PATH = "/policy.bpf.c"  # in the root, where no header lies beside it
K = cindex.CursorKind
KINDS = {
    K.COMPOUND_STMT: "block", K.IF_STMT: "if", K.FOR_STMT: "for", K.WHILE_STMT: "while", K.DO_STMT: "do",
    K.SWITCH_STMT: "switch", K.CASE_STMT: "case", K.DEFAULT_STMT: "case", K.RETURN_STMT: "return",
    K.BREAK_STMT: "jump", K.CONTINUE_STMT: "jump", K.GOTO_STMT: "jump", K.INDIRECT_GOTO_STMT: "jump",
    K.LABEL_STMT: "label", K.ASM_STMT: "asm", K.MS_ASM_STMT: "asm", K.DECL_STMT: "block", K.VAR_DECL: "variable",
    K.CALL_EXPR: "call", K.DECL_REF_EXPR: "name", K.MEMBER_REF_EXPR: "field", K.ARRAY_SUBSCRIPT_EXPR: "element",
    K.BINARY_OPERATOR: "binary", K.COMPOUND_ASSIGNMENT_OPERATOR: "binary", K.UNARY_OPERATOR: "unary",
    K.CONDITIONAL_OPERATOR: "choose", K.INTEGER_LITERAL: "number", K.StmtExpr: "block", K.INIT_LIST_EXPR: "list",
}  # fmt: skip
_KINDS = {kind.value: name for kind, name in KINDS.items()}
_JUMPS = {K.BREAK_STMT.value: "break", K.GOTO_STMT.value: "goto", K.INDIRECT_GOTO_STMT.value: "goto"}
_TEXTS = frozenset({"variable", "name", "field", "binary"})
# Kinds that say nothing once their one kid is kept: implicit casts, parentheses, casts, sizeof.
_WRAPPERS = frozenset({K.UNEXPOSED_EXPR.value, K.PAREN_EXPR.value, K.CSTYLE_CAST_EXPR.value, K.UNEXPOSED_STMT.value})
_DROPPED = frozenset({K.TYPE_REF.value, K.STRUCT_DECL.value, K.UNION_DECL.value, K.ENUM_DECL.value, K.NULL_STMT.value})
_ATTRIBUTES = range(400, 500)
_DEPTH = 800  # of nesting, beyond which nobody reads a policy


class TooDeepError(Exception):
    """The source is nested deeper than this program follows."""


def load(library: str) -> None:
    """Load libclang."""
    cindex.Config.set_library_file(library)
    lib = cindex.conf.lib
    lib.clang_getCursorUnaryOperatorKind.argtypes = [cindex.Cursor]
    lib.clang_getCursorUnaryOperatorKind.restype = int
    uints = POINTER(c_uint)
    lib.clang_getSpellingLocation.argtypes = [cindex.SourceLocation, POINTER(cindex.c_object_p), uints, uints, uints]
    lib.clang_getSpellingLocation.restype = None
    lib.clang_Cursor_Evaluate.argtypes, lib.clang_Cursor_Evaluate.restype = [cindex.Cursor], c_void_p
    for name, kind in (("getKind", c_int), ("getAsLongLong", c_longlong), ("isUnsignedInt", c_int),
                       ("getAsUnsigned", c_ulonglong), ("dispose", None)):  # fmt: skip
        call = getattr(lib, f"clang_EvalResult_{name}")
        call.argtypes, call.restype = [c_void_p], kind


def parse(source: str, flags: Sequence[str]) -> tuple[Any, list[str]]:
    """The translation unit and its errors, in clang's words; cindex.TranslationUnitLoadError where clang fell over."""
    index = cindex.Index.create(excludeDecls=True)
    unit = index.parse(PATH, args=list(flags), unsaved_files=[(PATH, source)])
    errors = [
        f"line {diagnostic.location.line}: {diagnostic.spelling}"
        for diagnostic in unit.diagnostics
        if diagnostic.severity >= 3
    ]
    return unit, errors


def program_of(unit: Any, constants: Mapping[str, int]) -> tuple[Program, list[Any]]:
    """The policy, and the declarations of its own file that are no function, variable or type.

    A variable `__NAME` stands for the kernel's enumerator NAME, if that is among the constants.
    """
    functions: dict[str, Function] = {}
    variables: set[str] = set()
    ops: dict[str, str] = {}
    others: list[Any] = []
    for cursor in unit.cursor.get_children():
        kind = cursor.kind
        if kind not in (K.FUNCTION_DECL, K.VAR_DECL, K.UNEXPOSED_DECL) or not _is_own(cursor):
            continue
        if kind == K.FUNCTION_DECL:
            if cursor.is_definition():
                functions[cursor.spelling] = _function(cursor, constants)
        elif kind == K.VAR_DECL:
            variables.add(cursor.spelling)
            if "sched_ext_ops" in cursor.type.spelling:
                ops.update(_ops(cursor))
        else:
            others.append(cursor)
    return Program(functions, variables, ops), others


def spelled_here(cursor: Any) -> bool:
    """Whether the words themselves stand in the policy's file, and did not come out of a header's macro."""
    file, nothing = cindex.c_object_p(), None
    cindex.conf.lib.clang_getSpellingLocation(cursor.extent.start, byref(file), nothing, nothing, nothing)
    return bool(file) and str(cindex.File(file).name) == PATH


def _is_own(cursor: Any) -> bool:
    file = cursor.location.file
    return file is not None and os.fspath(file.name) == PATH


def _function(cursor: Any, constants: Mapping[str, int]) -> Function:
    params, body = [], Node("block", "", [])
    for kid in cursor.get_children():
        if kid.kind == K.PARM_DECL:
            params.append(kid.spelling)
        elif kid.kind == K.COMPOUND_STMT:
            body = _node(kid, 0, constants) or body
    return Function(cursor.spelling, params, body, cursor.location.line)


def _ops(cursor: Any) -> dict[str, str]:
    ops = {}
    for kid in cursor.get_children():
        if kid.kind != K.INIT_LIST_EXPR:
            continue
        for given in kid.get_children():
            parts = list(given.walk_preorder())
            member = next((part.spelling for part in parts if part.kind == K.MEMBER_REF), None)
            target = next((part.spelling for part in parts if part.kind == K.DECL_REF_EXPR), None)
            if member and target:
                ops[member] = target
    return ops


def _node(cursor: Any, depth: int, constants: Mapping[str, int]) -> Node | None:
    number = cursor._kind_id
    if number in _DROPPED or number in _ATTRIBUTES:
        return None
    if depth > _DEPTH:
        raise TooDeepError
    children = list(cursor.get_children())
    kids = [made for kid in children if (made := _node(kid, depth + 1, constants))]
    if number in _WRAPPERS:
        return _unwrapped(cursor, children, kids)
    kind = _KINDS.get(number, "other")
    if kind == "call":
        return Node(kind, cursor.spelling, kids[1:], cursor)
    if kind == "unary":
        return Node(kind, _UNARY.get(cindex.conf.lib.clang_getCursorUnaryOperatorKind(cursor), "?"), kids, cursor)
    if kind in ("if", "choose") and len(kids) > 1 and (taken := _settled(kids)) is not None:
        return taken
    text = _JUMPS.get(number, "")  # "" of a `continue`, which does not leave its loop
    plain = Node(kind, cursor.spelling if kind in _TEXTS else text, kids, cursor)
    return (_mirror(cursor, constants) or plain) if kind == "name" else plain


def _mirror(cursor: Any, constants: Mapping[str, int]) -> Node | None:
    """What a variable such as `__SCX_SLICE_DFL` will hold; None for a name that mirrors nothing of the kernel's."""
    name = cursor.spelling.removeprefix("__")
    return Mirror(name, constants[name], cursor) if name != cursor.spelling and name in constants else None


def _settled(kids: list[Node]) -> Node | None:
    """Of a branch whose condition is a constant, the side that is compiled; None where it is none."""
    value = kids[0].value
    if value is None:
        return None
    return kids[1] if value else kids[2] if len(kids) > 2 else Node("block", "", [])


def _unwrapped(cursor: Any, children: list[Any], kids: list[Node]) -> Node:
    if children and children[0].kind == K.MEMBER_REF:
        return Node("designated", children[0].spelling, kids[-1:], cursor)
    if len(kids) == 1:
        return kids[0]
    return Node("choose" if kids else "other", "", kids, cursor)  # GNU's a ?: b is unexposed, with its kids


_UNARY = {1: "++", 2: "--", 3: "++", 4: "--", 5: "&", 6: "*", 7: "+", 8: "-", 9: "~", 10: "!"}

# SPDX-License-Identifier: Apache-2.0
"""A rollout's tokens and object by the words that name them: files, or an OCI layout that carries both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from policy_lake.errors import InputError
from policy_lake.files import read_outside
from policy_lake.limits import WORDS
from verifier_vm.tokens.dsse import open_unverified
from verifier_vm.tokens.errors import TokenError
from verifier_vm.tokens.oci_layout import PREFIX, Carried, place_of, read_carried
from verifier_vm.tokens.statement import parse_payload
from verifier_vm.tokens.terms import Token

TOKEN_BYTES, OBJECT_BYTES = 1 << 20, 64 << 20


def carried_words(tokens: Sequence[str], object_file: str) -> tuple[tuple[str, ...], str]:
    """The words of tokens and object with whole paths; InputError where a layout is named beside anything else."""
    if any(word.startswith(PREFIX) for word in tokens):
        if len(tokens) != 1 or object_file:
            raise InputError(f"{tokens[0][:80]}: an OCI layout has object and tokens: name nothing beside it")
        word = _whole(tokens[0])
        return (word,), word
    if not object_file:
        raise InputError("--object: name the object that the tokens are for, or an OCI layout, oci:DIR")
    return tuple(map(_whole, tokens)), _whole(object_file)


def token_files(words: Sequence[str]) -> list[tuple[str, bytes]]:
    """Each token with the word that says where it is; those of a layout by their version, as a host takes them.

    InputError for a file that is none, for a layout without tokens and for one with tokens of several hosts or kernels.
    """
    found: list[tuple[str, bytes]] = []
    for word in words:
        if carried := _carried(word):
            found += [(word, content) for content in _in_order(carried, word)]
        else:
            found.append((word, read_outside(Path(word), TOKEN_BYTES)))
    if not 0 < len(found) <= WORDS:
        raise InputError(f"{len(found)} tokens: a rollout takes from 1 to {WORDS}")
    return found


def object_in(word: str) -> bytes:
    """The object that a word names; InputError where there is none."""
    carried = _carried(word)
    return carried.object if carried else read_outside(Path(word), OBJECT_BYTES)


def token_in(content: bytes, word: str) -> Token:
    """What a token says, whoever wrote it; InputError where it is no envelope of one, TokenError where it says nothing.

    Both name where it is.
    """
    try:
        payload, _, _ = open_unverified(content)
    except TokenError as error:
        raise InputError(f"{word}: {error}") from error
    try:
        return parse_payload(payload)
    except TokenError as error:
        raise TokenError(f"{word}: {error}", error.code) from error


def _in_order(carried: Carried, word: str) -> list[bytes]:
    tokens = sorted(((token_in(content, word), content) for content in carried.tokens), key=lambda one: one[0].version)
    if len({(token.audience, token.kernel, token.btf_sha256) for token, _ in tokens}) > 1:
        raise InputError(f"{word}: it has tokens for several hosts or kernels: name the files of those that you mean")
    return [content for _, content in tokens]


def _carried(word: str) -> Carried | None:
    place = place_of(word)
    return read_carried(*place) if place else None


def _whole(word: str) -> str:
    place = place_of(word)
    if place is None:
        return str(Path(word).absolute())
    return PREFIX + ":".join([str(place[0].absolute()), *([place[1]] if place[1] else [])])

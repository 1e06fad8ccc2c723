# SPDX-License-Identifier: Apache-2.0
"""Settings of knobs: what a knob takes, the one form it is written in, and the words that a guest's loader gets.

A leaf that every package may import. Planner, builder, command line and token check all ask here, so that what one of
them takes the others take, too. What can reach a knob is limited by verifier_vm/guest: a step has its arguments between
tabs (init.c), a word is NAME=VALUE split at its first `=` and a list is split at its commas (loader.c, knobs.c).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from policy_lake.errors import InputError
from policy_lake.model import Knob, KnobValue, Policy
from policy_lake.show import written

TRUE, FALSE = frozenset({"true", "yes", "on"}), frozenset({"false", "no", "off"})
RANGES = {
    f"{sign}{bits}": (-(1 << bits - 1), (1 << bits - 1) - 1) if sign == "s" else (0, (1 << bits) - 1)
    for sign in "su"
    for bits in (8, 16, 32, 64)
} | {"char": (-128, 127), "bool": (0, 1)}
WIDEST = (-(1 << 63), (1 << 64) - 1)  # what the loader can write where nobody knows the type
# No leading zero: C would read the rest as octal. Longer than any type holds: that is another refusal than no number.
INTEGER = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,999}|0[xX][0-9a-fA-F]{1,999})", re.ASCII)
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
# Settings of the ops themselves, kept beside the knobs under names that no variable can have.
OPS_USE, OPS_FLAG = "ops.use", "ops.flag"  # which sched_ext_ops of the object; flags that are set besides, by name
OPS_TIMEOUT = "ops.timeout_ms"  # the word that a guest adds to those of the policy
FLAG = re.compile(r"[A-Z][A-Z0-9_]{2,63}", re.ASCII)
MOST_WORDS = 62  # MAX_ARGS of verifier_vm/guest/guest.h, less the object and OPS_TIMEOUT
MOST_BYTES = 64 << 10  # of all words; execve takes 128 KiB in one, and a token has to hold them, too


class KnobError(InputError):
    """A setting that its policy does not take; the message names policy, knob, value and what would be taken."""


def parse_knob_values(texts: Iterable[str], *, option: str = "--knob") -> dict[str, str]:
    """`NAME=VALUE` texts as knob values, with the values as they are written; InputError for any other text."""
    knob_values: dict[str, str] = {}
    for text in texts:
        name, value = split_word(text) or ("", "")
        if not NAME.fullmatch(name):
            raise InputError(f"{option} {quoted(text)}: not NAME=VALUE")
        if name in knob_values:
            raise InputError(f"{option} {quoted(text)}: {name} is given twice")
        if not _carried(value):
            raise InputError(f"{option} {quoted(text)}: a character in it cannot be printed")
        knob_values[name] = value
    return knob_values


def by_name(what: str, values: object) -> dict[str, object]:
    """Knob values as a caller gives them, None for none; InputError unless they are a mapping of names to values."""
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise InputError(f"{what}={quoted(values)}: not a mapping of names to values, such as {{'slice_ns': 1000000}}")
    if unnamed := [name for name in values if not isinstance(name, str)]:
        raise InputError(f"{what}: {quoted(unnamed[0])} is no name")
    return dict(values)


def ops_values(name: str, flags: Sequence[str]) -> dict[str, str]:
    """`--ops NAME` and `--ops-flag FLAG`s as settings beside the knob values; InputError for what can be neither."""
    if name and not NAME.fullmatch(name):
        raise InputError(f"--ops {quoted(name)}: no name of a variable")
    for flag in flags:
        if not FLAG.fullmatch(flag):
            raise InputError(f"--ops-flag {quoted(flag)}: no name of a flag, such as SCX_OPS_ENQ_LAST")
    given = {OPS_USE: name, OPS_FLAG: ",".join(sorted(set(flags)))}
    return {word: value for word, value in given.items() if value}


def settle(policy: Policy, knob_values: Mapping[str, object]) -> dict[str, KnobValue]:
    """The knob values in their one form, in the order of the policy's knobs; KnobError for what it does not take.

    The form is int, bool, or a comma-separated str for a list, so that knob values which load alike are equal. The
    settings of the ops, OPS_USE and OPS_FLAG, come last.
    """
    known = {knob.name for knob in policy.knobs} | {OPS_USE, OPS_FLAG}
    for name in knob_values:
        if name not in known:
            names = ", ".join(knob.name for knob in policy.knobs) or "none"
            raise KnobError(f"policy '{policy.id}' has no knob {quoted(name)}; it has: {names}")
    try:
        settled = {
            knob.name: canonical(knob, knob_values[knob.name]) for knob in policy.knobs if knob.name in knob_values
        }
        settled |= _settled_ops(knob_values)
        check_size(settled)
    except KnobError as error:
        raise KnobError(f"policy '{policy.id}': {error}") from None
    return settled


def _settled_ops(values: Mapping[str, object]) -> dict[str, str]:
    use, flags = (values.get(name, "") or "" for name in (OPS_USE, OPS_FLAG))
    for given in (use, flags):
        if not isinstance(given, str):
            raise KnobError(f"{quoted(given)} is no name")
    try:
        return ops_values(str(use), str(flags).split(",") if flags else ())
    except InputError as error:
        raise KnobError(str(error)) from None


def knob_words(policy: Policy, knob_values: Mapping[str, object]) -> tuple[str, ...]:
    """`NAME=VALUE` for the loader, in the order of the policy's knobs; KnobError for what the policy does not take."""
    return tuple(word(name, value) for name, value in settle(policy, knob_values).items())


def word(name: str, value: KnobValue) -> str:
    """One of the loader's words, for a value in its one form."""
    return f"{name}={int(value) if isinstance(value, bool) else value}"


def split_word(text: str) -> tuple[str, str] | None:
    """Name and value of a word, split at its first `=` as guest/loader.c does; None where there is no `=`, or no name.

    Of the names, a user may give those of variables alone (`parse_knob_values`).
    """
    name, equals, value = text.partition("=")
    return (name, value) if equals and name else None


def values_of(words: Iterable[str]) -> dict[str, str]:
    """The loader's words by name, as they are written; of one given twice the last."""
    return dict(pair for text in words if (pair := split_word(text)))


def canonical(knob: Knob, value: object) -> KnobValue:
    """A value in the one form of its kind: int, bool, or a comma-separated str. KnobError for what it does not take."""
    if knob.kind == "bool":
        return _boolean(knob, value)
    if knob.kind == "int":
        return _integer(knob, value)
    items = _items(knob, value)
    if len(items) > knob.count:
        raise KnobError(f"knob '{knob.name}' takes up to {knob.count} items, not {len(items)}")
    if knob.kind == "names":
        return ",".join(_name(knob, item) for item in items)
    if not items:  # the loader would refuse it, and to leave a list as it is compiled is not to set it
        raise KnobError(f"knob '{knob.name}' takes at least one number; to leave it as it is, do not set it")
    return ",".join(str(_integer(knob, item)) for item in items)


def bounds(knob: Knob) -> tuple[int, int]:
    """The least and the most that a number of the knob may be: as documented, and within its C type."""
    low, high = RANGES.get(knob.c_type, WIDEST)
    return max(low, knob.low if knob.low is not None else low), min(high, knob.high if knob.high is not None else high)


def _items(knob: Knob, value: object) -> Sequence[object]:
    if isinstance(value, list | tuple) and list(value) != [""]:
        return value
    if isinstance(value, int | float):
        return (value,)
    if isinstance(value, list | tuple):
        return ()
    if not isinstance(value, str):  # a set has no order, and None is no empty list
        raise KnobError(f"knob '{knob.name}' takes a list or comma-separated text, not {quoted(value)}")
    return value.split(",") if value.strip(" ") else ()


def _boolean(knob: Knob, value: object) -> bool:
    number = _number(value)
    if number in (0, 1):
        return bool(number)
    text = str(value).strip(" ").lower() if number is None else ""
    if text in TRUE or text in FALSE:
        return text in TRUE
    raise KnobError(f"knob '{knob.name}' is true or false, not {quoted(value) if number is None else 'a number'}")


def _integer(knob: Knob, value: object) -> int:
    number = _number(value)
    if number is None:
        raise KnobError(f"knob '{knob.name}' is a whole number, not {quoted(value)}")
    low, high = bounds(knob)
    if not low <= number <= high:
        shown = number if number.bit_length() <= 64 else "a number of more than 64 bits"
        raise KnobError(f"knob '{knob.name}' is from {low} to {high} {knob.unit}".rstrip() + f", not {shown}")
    return number


def _number(value: object) -> int | None:
    """The whole number that is meant; None where none is."""
    if isinstance(value, str):
        text = value.strip(" ")
        return int(text, 0) if INTEGER.fullmatch(text) else None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _name(knob: Knob, value: object) -> str:
    """Spaces at the ends do not count, those within do: `Isolated Web Co` is a name that the kernel gives."""
    name = written(value).strip(" ")
    if (
        not isinstance(value, str | int | float)
        or not name
        or "," in name
        or not _carried(name)
        or len(name.encode()) > knob.name_bytes
    ):
        takes = f"names of 1 to {knob.name_bytes} bytes that can be printed, without a comma"
        raise KnobError(f"knob '{knob.name}' takes {takes}, not {quoted(value)}")
    return name


def _carried(text: str) -> bool:
    """Whether a job can carry it: no tab, newline, NUL, nor anything else that a terminal or UTF-8 could trip over."""
    return text.isprintable()


def check_size(settled: Mapping[str, KnobValue]) -> None:
    """KnobError for more than a step of a guest's job holds."""
    if len(settled) > MOST_WORDS:
        raise KnobError(f"{len(settled)} knobs are set, and a guest's loader takes {MOST_WORDS}")
    size = sum(len(word(name, value).encode()) for name, value in settled.items())
    if size > MOST_BYTES:
        raise KnobError(f"the knob values have {size} bytes, and a guest's loader takes {MOST_BYTES}")


def quoted(value: object) -> str:
    """What was given, in quotes, short and printable."""
    text = written(value)
    shown = "".join(character if character.isprintable() else "?" for character in text[:60])
    return f"'{shown}{'…' if len(text) > 60 else ''}'"

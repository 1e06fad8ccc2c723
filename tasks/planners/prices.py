# SPDX-License-Identifier: Apache-2.0
"""What models cost, by name, from a file of the user's: none is shipped, for a price that is old caps nothing."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from policy_lake.errors import InputError
from policy_lake.limits import DESCRIPTOR_BYTES, MODEL_PRICE_USD

KEYS = ("in_usd_per_mtok", "out_usd_per_mtok")


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens of prompts and of answers; both 0 for a model that costs nothing."""

    in_usd_per_mtok: float
    out_usd_per_mtok: float


def price_of(model: str, path: Path) -> Price | None:
    """The price of a model, by its name with or without `openai/` before it; None where the file does not say.

    The file is TOML: `[models."NAME"]` with in_usd_per_mtok and out_usd_per_mtok. InputError for a file that is none.
    """
    try:
        with path.open("rb") as file:
            data = tomllib.loads(file.read(DESCRIPTOR_BYTES).decode())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path}: no TOML: {error!s:.120}") from error
    models = data.get("models", {})
    if not isinstance(models, dict) or set(data) - {"models"}:
        raise InputError(f'{path}: expected tables [models."NAME"] and nothing else')
    prices = {name: _price(name, table, path) for name, table in models.items()}
    return prices.get(model, prices.get(model.removeprefix("openai/")))


def _price(name: str, table: object, path: Path) -> Price:
    if not isinstance(table, dict) or set(table) != set(KEYS):
        raise InputError(f'{path}: [models."{name[:60]}"]: expected {" and ".join(KEYS)}')
    for key in KEYS:
        if isinstance(table[key], bool) or not isinstance(table[key], int | float):
            raise InputError(f'{path}: [models."{name[:60]}"]: {key} is no number')
        MODEL_PRICE_USD.check(table[key])
    return Price(float(table[KEYS[0]]), float(table[KEYS[1]]))

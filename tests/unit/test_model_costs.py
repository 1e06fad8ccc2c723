# SPDX-License-Identifier: Apache-2.0
"""What models cost: prices in a file, what was spent today, and what calls come to."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from policy_lake.calls import ModelCall, use_of
from policy_lake.errors import InfraError, InputError
from tasks.host.settings import Settings
from tasks.planners.endpoint import Usage
from tasks.planners.prices import Price, price_of
from tasks.run.budget import CASSETTE_URL, endpoint_of
from tasks.run.day import Day

PRICES = """
[models.tiny]
in_usd_per_mtok = 0.5
out_usd_per_mtok = 2
[models."local/free"]
in_usd_per_mtok = 0
out_usd_per_mtok = 0.0
"""


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    (tmp_path / "prices.toml").write_text(PRICES)
    return tmp_path / "prices.toml"


def test_a_price_is_found_by_name_with_or_without_its_prefix(prices: Path, tmp_path: Path) -> None:
    assert price_of("tiny", prices) == price_of("openai/tiny", prices) == Price(0.5, 2.0)
    assert price_of("other", prices) is None and price_of("tiny", tmp_path / "none.toml") is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[models", "no TOML"),
        ("x = 1", "expected tables"),
        ("models = 1", "expected tables"),
        ("[other]", "expected"),
        ("[models.a]\nin_usd_per_mtok = 1", "expected in_usd_per_mtok and out_usd_per_mtok"),
        ("[models.a]\nin_usd_per_mtok = true\nout_usd_per_mtok = 1", "in_usd_per_mtok is no number"),
        ("[models.a]\nin_usd_per_mtok = -1\nout_usd_per_mtok = 1", "-1 is not from"),
        ("[models.a]\nin_usd_per_mtok = nan\nout_usd_per_mtok = 1", "nan is not from"),
    ],
)
def test_a_file_of_prices_that_is_none_is_bad_input(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "prices.toml").write_text(content)
    with pytest.raises(InputError, match=said):
        price_of("a", tmp_path / "prices.toml")
    with pytest.raises(InputError, match="Is a directory"):
        price_of("a", tmp_path)


def settings(tmp_path: Path, **more: Any) -> Settings:
    return Settings(data_dir=tmp_path, **{"model": "tiny", "model_url": "http://h/v1", **more})


def test_a_setting_s_price_counts_before_the_file_s_and_free_is_a_price(prices: Path, tmp_path: Path) -> None:
    asked = endpoint_of(settings(tmp_path))
    assert asked and (asked.price_in_usd_per_mtok, asked.price_out_usd_per_mtok, asked.priced) == (0.5, 2.0, True)
    own = endpoint_of(settings(tmp_path, model_price_in_usd_per_mtok=3.0))
    assert own and (own.price_in_usd_per_mtok, own.price_out_usd_per_mtok) == (3.0, 0.0)
    free = endpoint_of(settings(tmp_path, model="local/free"))
    assert free and free.free and free.priced and free.cost_usd(10**9, 1) == 0
    unknown = endpoint_of(settings(tmp_path, model="other"))
    assert unknown and not unknown.priced


def test_what_the_settings_say_of_a_model_reaches_the_endpoint(tmp_path: Path) -> None:
    tape = tmp_path / "tape.json"
    with pytest.raises(InputError, match=r"tape\.json: No such file"):
        endpoint_of(Settings(data_dir=tmp_path, model_cassette=tape))
    with pytest.raises(InputError, match=r"SCHEDCP_MODEL_RECORD: .*/none is no directory"):
        endpoint_of(settings(tmp_path, model_record=tmp_path / "none" / "tape.json"))
    tape.write_text('{"version": 1, "answered_by": "me", "exchanges": []}')
    made = endpoint_of(Settings(data_dir=tmp_path, model_cassette=tape))
    assert made and (made.model, made.url, made.cassette) == ("cassette", CASSETTE_URL, tape)
    more = {"model_max_tokens_day": 5, "model_max_cost_usd_day": 0.5, "model_answer_tokens": 300,
            "model_temperature": 0.0, "model_json": "none", "model_record": tape}  # fmt: skip
    told = endpoint_of(settings(tmp_path, **more))
    assert told and (told.max_tokens_day, told.max_cost_usd_day, told.answer_tokens) == (5, 0.5, 300)
    assert (told.temperature, told.json_form, told.record) == (0.0, "none", tape)
    plain = endpoint_of(settings(tmp_path))
    assert plain and (plain.temperature, plain.json_form, plain.cassette, plain.record) == (None, "schema", None, None)


def test_a_day_is_shared_by_runs_and_ends_at_midnight(tmp_path: Path) -> None:
    now = [datetime(2026, 11, 28, 23, 59, tzinfo=UTC)]
    one, two = (Day(tmp_path / "use", last, now=lambda: now[0]) for last in (Usage(), Usage(5, 50, 50, 5.0)))
    one.add(Usage(1, 100, 40, 0.5))
    one.add(Usage(1, 80, 20, 0.25))  # counted at its most before, and by the endpoint's word after it
    two.add(Usage(6, 60, 51, 5.5))
    assert one.spent() == two.spent() == Usage(2, 90, 21, 0.75)
    now[0] = datetime(2026, 11, 29, 0, 0, tzinfo=UTC)
    assert one.spent() == Usage()
    (tmp_path / "use" / "2026-11-29.json").write_text("{")
    with pytest.raises(InfraError, match="what models were paid today cannot be read"):
        one.spent()


def call(usd: float | None) -> ModelCall:
    return ModelCall("c", "r", "w", 1, 1, "", "tiny", "", "", "", (), "", "answered", 10, 5, True, usd, 1.5)


def test_calls_are_summed_and_an_unknown_price_is_said() -> None:
    assert use_of([call(0.5), call(0.25)]).words == "2 calls to a model: 20 tokens in, 10 out, 3.0 s, $0.7500"
    assert use_of([call(0.5), call(None)]).words.endswith("price unknown: only tokens are capped")
    assert use_of([call(None)]).words.startswith("1 call to a model: ")

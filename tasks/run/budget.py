# SPDX-License-Identifier: Apache-2.0
"""What a run's planner has spent on its model, kept with the run: its budget is the run's, in whatever process."""

from __future__ import annotations

import json

from policy_lake.errors import InfraError, InputError
from policy_lake.files import atomic_write
from policy_lake.lake import Lake
from policy_lake.model import from_json, to_json
from policy_lake.show import logger
from tasks.authoring.workshop import BpfWorkshop
from tasks.host.guest import prepare_guest
from tasks.host.settings import Settings
from tasks.planners.cassette import load
from tasks.planners.choose import planner
from tasks.planners.endpoint import Books, ModelEndpoint, Usage, url_fault
from tasks.planners.prices import price_of
from tasks.planners.protocol import Planner
from tasks.run.day import Day
from tasks.run.spec import RunSpec

CASSETTE_URL = "http://cassette.invalid/v1"  # nobody is asked there (RFC 6761)
log = logger(__name__)


def planner_of(run: RunSpec, lake: Lake) -> Planner:
    """The run's planner, which goes on with the budget that is left; what it spends is on disk before it is spent.

    Its calls go into the lake. InfraError when what was spent cannot be read: then nothing more is.
    """
    endpoint = endpoint_of(run.settings)
    if endpoint is None:
        return planner()
    path = run.directory / "usage.json"
    try:
        spent = from_json(Usage, json.loads(path.read_bytes()))
    except FileNotFoundError:
        spent = Usage()
    except (OSError, ValueError) as error:
        raise InfraError(f"{path}: what the model was paid cannot be read: {error}") from error
    day = Day(run.settings.model_use_dir, spent)

    def keep(usage: Usage) -> None:
        atomic_write(path, json.dumps(to_json(usage)).encode())
        day.add(usage)

    if not spent.calls and not endpoint.priced:
        log.warning("what %s costs is not known: tokens are capped, dollars are not", endpoint.model)
    workshop = BpfWorkshop(lambda: prepare_guest(run.settings, run.shape).kernel)
    return planner(endpoint, books=Books(spent, keep, lake.put, day.spent), workshop=workshop)


def endpoint_of(settings: Settings) -> ModelEndpoint | None:
    """The model that the settings name; None when they name none. InputError for a name without a URL, or the like.

    A cassette needs neither, and has to be one. A price that a setting gives counts before the file's.
    """
    model, url = settings.model, settings.model_url
    if settings.model_cassette is not None:
        load(settings.model_cassette)  # what is none is told before anything begins
        model, url = model or "cassette", url or CASSETTE_URL
    if not model and not url:
        return None
    if not model or not url:
        missing = "SCHEDCP_MODEL" if not model else "SCHEDCP_MODEL_URL"
        raise InputError(f"{missing} is not set: a model needs a name and a URL")
    if fault := url_fault(url):
        raise InputError(f"SCHEDCP_MODEL_URL: {fault}")
    if settings.model_record is not None and not settings.model_record.parent.is_dir():
        raise InputError(f"SCHEDCP_MODEL_RECORD: {settings.model_record.parent} is no directory")
    own = (settings.model_price_in_usd_per_mtok, settings.model_price_out_usd_per_mtok)
    known = None if any(own) else price_of(model, settings.price_file)
    price_in, price_out = own if known is None else (known.in_usd_per_mtok, known.out_usd_per_mtok)
    return ModelEndpoint(
        url=url,
        model=model,
        api_key=settings.model_api_key.get_secret_value(),
        price_in_usd_per_mtok=price_in,
        price_out_usd_per_mtok=price_out,
        max_tokens_total=settings.model_max_tokens,
        max_cost_usd=settings.model_max_cost_usd,
        timeout_s=settings.model_timeout_s,
        answer_tokens=settings.model_answer_tokens,
        max_tokens_day=settings.model_max_tokens_day,
        max_cost_usd_day=settings.model_max_cost_usd_day,
        free=known is not None and not any((price_in, price_out)),
        temperature=settings.model_temperature,
        json_form=settings.model_json,
        cassette=settings.model_cassette,
        record=settings.model_record,
    )

# SPDX-License-Identifier: Apache-2.0
"""What a run's planner has spent on its model, kept with the run: its budget is the run's, in whatever process."""

from __future__ import annotations

import json

from policy_lake.errors import InfraError, InputError
from policy_lake.files import atomic_write
from policy_lake.model import from_json, to_json
from tasks.host.settings import Settings
from tasks.planners.choose import planner
from tasks.planners.endpoint import ModelEndpoint, Usage, url_fault
from tasks.planners.protocol import Planner
from tasks.run.spec import RunSpec


def planner_of(run: RunSpec) -> Planner:
    """The run's planner, which goes on with the budget that is left; what it spends is on disk before it is spent.

    InfraError when what was spent cannot be read: then nothing more is.
    """
    path = run.directory / "usage.json"
    try:
        spent = from_json(Usage, json.loads(path.read_bytes()))
    except FileNotFoundError:
        spent = Usage()
    except (OSError, ValueError) as error:
        raise InfraError(f"{path}: what the model was paid cannot be read: {error}") from error
    return planner(
        endpoint_of(run.settings), spent=spent,
        keep=lambda usage: atomic_write(path, json.dumps(to_json(usage)).encode()),
    )  # fmt: skip


def endpoint_of(settings: Settings) -> ModelEndpoint | None:
    """The model that the settings name; None when they name none. InputError for a name without a URL, or the like."""
    if not settings.model and not settings.model_url:
        return None
    if not settings.model or not settings.model_url:
        missing = "SCHEDCP_MODEL" if not settings.model else "SCHEDCP_MODEL_URL"
        raise InputError(f"{missing} is not set: a model needs a name and a URL")
    if fault := url_fault(settings.model_url):
        raise InputError(f"SCHEDCP_MODEL_URL: {fault}")
    return ModelEndpoint(
        url=settings.model_url,
        model=settings.model,
        api_key=settings.model_api_key.get_secret_value(),
        price_in_usd_per_mtok=settings.model_price_in_usd_per_mtok,
        price_out_usd_per_mtok=settings.model_price_out_usd_per_mtok,
        max_tokens_total=settings.model_max_tokens,
        max_cost_usd=settings.model_max_cost_usd,
        timeout_s=settings.model_timeout_s,
    )

# SPDX-License-Identifier: Apache-2.0
"""The settings as a value: what the command line reads from SCHEDCP_ variables, given by the caller instead."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from policy_lake.errors import InputError
from tasks.host import settings as host


class Settings(host.Settings):
    """Where things lie, how large a guest is, how many run at once, and how long anything may take.

    Every field has a default, and none is read from a SCHEDCP_ variable. Data (lake, keys, tokens, runs) and cache
    (kernel, images, snapshots) lie by default where the XDG base directories say. Times are in seconds
    (`_s`), memory in MiB (`_mib`). Raises InputError, which names the field, for a value that it cannot have.
    Immutable: `model_copy(update={...})` makes another, unchecked.
    """

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            field, value, wrong = host.first_fault(error)
            raise InputError(f"Settings({field}={value}): {wrong}") from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what the caller gives: not the environment, nor any file."""
        return (init_settings,)


def resolved(settings: host.Settings | None) -> host.Settings:
    """The settings as the tasks take them; those of the environment where there are none.

    Of the tasks' own class: what Ray sends to a worker has to be importable there.
    """
    if settings is None:
        return host.load_settings()
    if not isinstance(settings, host.Settings):
        raise InputError(f"settings: {type(settings).__name__} is no Settings: give schedcp.Settings(...)")
    return host.Settings.model_construct(settings.model_fields_set, **dict(settings))

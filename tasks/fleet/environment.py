# SPDX-License-Identifier: Apache-2.0
"""What must be so before any thread runs: the environment that Ray and Prefect read, and what both of them import."""

from __future__ import annotations

import importlib
import os
import secrets
from pathlib import Path

PREFECT = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "true",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
    # The caller reports a failure in one line; Prefect's tracebacks, and our own lines, are in its UI.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_EXTRA_LOGGERS": (__package__ or "").removesuffix(".fleet"),
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",  # what watches servers and Ray is in no flow
}


# What Ray 2.60 sets by itself while it starts, which is on a thread; a name that is there already moves nothing.
RAY_SETS = {"RAY_CLIENT_MODE": "0", "PYTHONBREAKPOINT": "ray.util.rpdb._driver_set_trace"}

# Its modules import each other in a circle: where one thread (Prefect's) imports the package while another (Ray's)
# imports its module `fields`, each waits for the other, and Python ends that by handing out a module half made.
SHARED = "pydantic.v1"


def prepare_environment() -> None:
    """No telemetry, few log lines, and a Ray that is ours alone; what the user has set stays.

    An entry calls it while it has one thread: another thread that reads the environment meanwhile may crash (setenv(3)
    is not thread-safe). Called again it changes nothing.
    """
    importlib.import_module(SHARED)
    for name, value in {**PREFECT, **RAY_SETS, **_ray()}.items():
        if name not in os.environ:
            os.environ[name] = value


def joins_a_cluster() -> bool:
    """Whether RAY_ADDRESS names a cluster that somebody else started."""
    return os.environ.get("RAY_ADDRESS", "") not in {"", "local"}


def _ray() -> dict[str, str]:
    quiet = {"RAY_USAGE_STATS_ENABLED": "0"}
    token = any(name in os.environ for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    if joins_a_cluster():
        # Ray 2.60 turns token mode on for the clusters it starts itself, never for one it is to join.
        return quiet | ({"RAY_AUTH_MODE": "token"} if token or (Path.home() / ".ray/auth_token").is_file() else {})
    # Without these Ray listens on every interface, and writes a token that others may read to ~/.ray.
    own = quiet | {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token"}
    # A worker starts beside its driver, not when the first task asks for it.
    own |= {"RAY_prestart_worker_first_driver": "1"}
    # A task that is sent out when the cluster has died must not start another one by itself.
    own |= {"RAY_ENABLE_AUTO_CONNECT": "0"}
    if os.environ.get("RAY_AUTH_MODE", "token") == "token" and not token:
        own |= {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
    return own

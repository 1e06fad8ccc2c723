# SPDX-License-Identifier: Apache-2.0
"""A container's first process, as the Docker engine's API tells it."""

from __future__ import annotations

from policy_lake.errors import InputError

ENGINE_S = 5


def process_of_container(name: str) -> tuple[int, str]:
    """(process id, "") of a running container; (0, why) without an engine. InputError where it knows no such one."""
    try:
        import docker
        from docker.errors import APIError, DockerException, NotFound
    except ImportError:
        return 0, "the package docker is not installed"
    try:
        client = docker.from_env(timeout=ENGINE_S)
    except DockerException as error:
        return 0, f"no Docker engine answers ({_first(error)})"
    try:
        state = client.api.inspect_container(name)["State"]
    except NotFound:
        raise InputError(f"--container {name}: the Docker engine knows no such container") from None
    except (APIError, DockerException, OSError) as error:
        return 0, f"the Docker engine refuses ({_first(error)})"
    finally:
        client.close()
    pid = int(state.get("Pid") or 0)
    if not pid:
        raise InputError(f"--container {name}: does not run ({state.get('Status', 'no state')})")
    return pid, ""


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]

# SPDX-License-Identifier: Apache-2.0
"""What is said of a source in about a second: the verifier's static stages, and nothing kept of it.

As a process it takes one request a line on stdin and gives one answer a line, until stdin is closed.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Mapping
from typing import IO

from bpf.library import read_policy
from control_plane.mcp.data import one_line
from control_plane.mcp.limits import ERROR_CHARACTERS
from control_plane.mcp.records import Checked
from control_plane.mcp.said import of_knobs, of_stage
from policy_lake.constants import check_constants
from policy_lake.errors import SchedcpError
from policy_lake.knobs import by_name, settle
from tasks.host.settings import Settings, load_settings
from tasks.trial.given import Given
from tasks.trial.parts import Part
from verifier_vm.machine.kernel import installed_kernel


def check_source(source: str, name: str, knobs: Mapping[str, object], settings: Settings) -> Checked:
    """The stages source, build and object of a policy as text, all that can be reached of them.

    InputError for a knob that it has not, or a header that is none of ours; InfraError without compiler or kernel.
    """
    began = time.monotonic()
    kernel = installed_kernel(settings.cache_dir, settings.kernel)
    part = Part(f"{name}.bpf.c", source)  # of no directory: a quoted include finds our own headers alone
    policy = read_policy(source, name, "user")
    values = by_name("knobs", knobs)
    settle(policy, values)
    check_constants(values)
    checked = Given(policy, (part,), (), values).check(kernel, check_all=True)
    return Checked(
        ok=checked.ok, name=name, stages=tuple(map(of_stage, checked.stages)), knobs=of_knobs(policy.knobs),
        object_sha256=checked.made.sha256 if checked.made else "", seconds=round(time.monotonic() - began, 3),
    )  # fmt: skip


def main() -> None:
    """Answer until there is nothing more to answer; what is being checked then is given up."""
    wire = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    requests: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=_take, args=(requests,), daemon=True).start()
    while True:
        _answer(requests.get(), wire)


def _take(requests: queue.Queue[bytes]) -> None:
    for line in sys.stdin.buffer:
        requests.put(line)
    os._exit(0)


def _answer(request: bytes, wire: IO[str]) -> None:
    asked = json.loads(request)
    try:
        settings = load_settings()
        result = check_source(asked["source"], asked["name"], asked["knobs"], settings)
        answer: dict[str, object] = {"result": result.model_dump(mode="json")}
    except SchedcpError as error:
        answer = {"exit_status": error.exit_status, "text": one_line(error, ERROR_CHARACTERS)}
    wire.write(json.dumps(answer) + "\n")
    wire.flush()


if __name__ == "__main__":
    main()

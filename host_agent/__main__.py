# SPDX-License-Identifier: Apache-2.0
"""`python3 -m host_agent [--config FILE]` serves; `… admit oci:DIR` attaches what a layout carries; `… audit-verify`
says whether the audit log holds."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from host_agent.admit import admit
from host_agent.agent import Agent
from host_agent.audit import verify
from host_agent.config import PLACE, Config, read_config
from host_agent.desk import Desk
from host_agent.feedback import Feedback
from host_agent.journal import Journal
from host_agent.openmetrics import MetricsServer, exposition
from host_agent.serve import Server
from host_agent.stats_socket import StatsSocket, figures
from host_agent.told import status
from host_agent.watch import Watcher
from policy_lake.errors import InputError, SchedcpError

MOST_THREADS = 4


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0, or an error's own with its line on stderr."""
    parser = argparse.ArgumentParser(prog="schedcpd", description="The host agent of SchedCP.")
    parser.add_argument("--config", type=Path, default=PLACE)
    doing = parser.add_subparsers(dest="do")
    doing.add_parser("serve", help="Serve until SIGTERM; the same without a word.")
    doing.add_parser("audit-verify", help="Say whether the audit log holds.")
    admitting = doing.add_parser("admit", help="Attach a policy that an OCI image layout carries.")
    admitting.add_argument("layout", metavar="oci:DIR[:NAME]")
    admitting.add_argument("--stage", choices=("canary", "host", "fleet"), default="canary")
    admitting.add_argument("--mode", choices=("full", "shadow", "partial"), default="full")
    admitting.add_argument("--cgroup", help="whose tasks alone, in the mode partial")
    admitting.add_argument("--lease", type=float, help="s for which nobody need be heard; 0 for ever, no canary")
    given = parser.parse_args(arguments)
    try:
        config = read_config(given.config)
        if given.do == "audit-verify":
            head = verify(config.state, Journal(config.state / "journal.jsonl").audit_head)
            if not head.seq:
                raise InputError(f"{config.state}: no audit log: no agent has begun one there, or it is gone")
            print(f"{config.state}: the audit log holds: {head.seq} entries, the last is {head.sha256}")
            return 0
        if given.do == "admit":
            more = {name: value for name in ("cgroup", "lease") if (value := getattr(given, name)) is not None}
            done = admit(given.layout, config.socket, stage=given.stage, mode=given.mode, **more)
            print(
                f"{done['ref']}: {done['policy']}: {'loaded, and unloaded' if given.mode == 'shadow' else 'attached'}"
            )
            return 0
        asyncio.run(serve(config))
    except SchedcpError as error:
        print(f"schedcpd: {error}", file=sys.stderr)
        return error.exit_status
    return 0


async def serve(config: Config) -> None:
    """Serves until SIGTERM or SIGINT; what is attached is then taken off."""
    if os.geteuid() and config == Config():
        raise InputError("the agent attaches for the whole host: it runs as root (or by a --config for a trial)")
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(MOST_THREADS, initializer=as_first_thread))
    agent = Agent(config)
    desk = Desk(agent)
    feedback = Feedback(config)
    server, watcher = Server(config, desk), Watcher(agent, desk, feedback.sample)
    found = await agent.start()
    await server.start()
    others = await _shown(config, agent, desk)
    print(f"schedcpd: {found.status.value}: {found.reason}; serving at {config.socket}", file=sys.stderr, flush=True)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    watching = asyncio.create_task(watcher.run())
    ending = asyncio.create_task(ended.wait())
    try:
        await asyncio.wait([watching, ending], return_when=asyncio.FIRST_COMPLETED)
    finally:
        await agent.take_off("agent", "the agent ends")
        watching.cancel()
        for other in (server, *others):
            await other.close()
        with contextlib.suppress(asyncio.CancelledError):
            await watching  # a watcher that ended by itself says why


def as_first_thread() -> None:
    """Makes this thread as real-time as the agent's first one, which waits for whoever has the interpreter's lock.

    The unit has children reset (the holder makes itself real-time, a metric's command shall not be), and to the kernel
    a thread is one: a policy that gives it no CPU would stop the agent with it.
    """
    first = os.getpid()
    policy = os.sched_getscheduler(first)
    if policy & ~os.SCHED_RESET_ON_FORK in (os.SCHED_RR, os.SCHED_FIFO):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(threading.get_native_id(), policy, os.sched_getparam(first))


async def _shown(config: Config, agent: Agent, desk: Desk) -> list[MetricsServer | StatsSocket]:
    """What shows figures to others, where it is configured."""

    def sample() -> dict[str, Any]:
        return desk.samples[-1] if desk.samples else {}

    shown: list[MetricsServer | StatsSocket] = []
    if config.metrics_port:
        shown.append(MetricsServer(config.metrics_port, lambda: exposition(agent, sample())))
    if config.stats_socket:
        shown.append(StatsSocket(Path(config.stats_socket), lambda: figures(status(agent), sample())))
    for one in shown:
        await one.start()
    return shown


if __name__ == "__main__":
    sys.exit(main())

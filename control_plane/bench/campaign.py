# SPDX-License-Identifier: Apache-2.0
"""`python -m control_plane.bench.campaign [COUNT]`: what a campaign costs beside its guests.

So many runs of a kind that does nothing are planned (keys computed and looked up), fanned out over a Ray of our own and
recorded in a lake of their own, by the very parts that a campaign is made of. It is to take at most 20 ms a run and
2 GB of memory of this process; the status is 1 where it does not.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from policy_lake.embed import embedder
from policy_lake.lake import Lake
from policy_lake.measurement import Measurement, RunInputs
from tasks.campaign.compute import Stream
from tasks.campaign.forecast import known_of
from tasks.campaign.keep import Keeper
from tasks.fleet import cluster
from tasks.fleet.cluster import slots_now
from tasks.fleet.environment import prepare_environment
from tasks.fleet.fan_out import Pool
from tasks.host.settings import Settings

COUNT, MOST_MS, MOST_MIB = 100_000, 20.0, 2000
DIGEST = "0" * 64


def inputs_of(number: int) -> RunInputs:
    """The inputs of a run that does nothing; its number is its seed."""
    return RunInputs(
        DIGEST[:32], "vclock-none", ("/bin/nothing", str(number)), ("nothing_ms",), number, number, DIGEST, DIGEST,
        "10.0.2", 2, 1, 1, 1, 512, DIGEST, DIGEST,
    )  # fmt: skip


def nothing(number: int) -> Measurement:
    """Such a run, on a worker."""
    inputs = inputs_of(number)
    return Measurement(inputs.key, "nothing", "nothing", inputs, {"nothing_ms": float(number)}, fingerprint=DIGEST)


def main(count: int) -> int:
    """Run it, say each part, return the exit status."""
    prepare_environment()
    with tempfile.TemporaryDirectory(prefix=f"schedcp-campaign-{os.getpid()}-") as place:
        lake = Lake(Path(place) / "lake", embedder=embedder("hash:8"))
        with cluster.running(Settings(), host_cpus=1) as ray_cluster:
            ray_cluster.ready()
            seconds = measured(lake, count, ray_cluster)
        rows = lake.counts()["measurements"]
    each_ms = 1000 * sum(seconds.values()) / count
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for name, value in seconds.items():
        sys.stdout.write(f"{name}: {value:.1f} s, {1000 * value / count:.2f} ms a run\n")
    sys.stdout.write(f"{rows:,} rows of {count:,} runs; {each_ms:.2f} ms each, {mib:.0f} MiB of the driver's memory\n")
    return 0 if rows == count and each_ms <= MOST_MS and mib < MOST_MIB else 1


def measured(lake: Lake, count: int, ray_cluster: cluster.Cluster) -> dict[str, float]:
    """The seconds of planning, of fanning out and recording, and of looking all of it up again, as a resume does."""
    seconds, began = dict[str, float](), time.monotonic()

    def part(name: str) -> None:
        nonlocal began
        now = time.monotonic()
        seconds[name], began = now - began, now

    keys = {inputs_of(number).key: number for number in range(count)}
    known = known_of(list(keys), lake)
    part("planned")

    def left() -> Iterator[tuple[str, int]]:
        return ((key, number) for key, number in keys.items() if key not in known)

    with (
        Pool[Measurement](deadline_s=600, label="nothing", lost=ray_cluster.lost) as slots,
        Keeper(lake.put) as keeper,
    ):
        stream: Stream[str, int, Measurement] = Stream(slots, nothing, slots_now=slots_now)
        for number, (key, outcome) in enumerate(stream.through(left()), 1):
            if outcome.value is None or outcome.value.id != key:
                raise RuntimeError(f"run {key}: {outcome.failure}")
            keeper.add(outcome.value)
            if number % 5000 == 0:
                sys.stderr.write(f"{number:,} runs, {time.monotonic() - began:.0f} s\n")
    part("fanned out and recorded")
    known = known_of(list(keys), lake)
    part("known again")
    return seconds


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else COUNT))

# SPDX-License-Identifier: Apache-2.0
"""What the Execution Verifier is to reach, measured on this machine: `python -m control_plane.bench.verify`."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from control_plane.bench.figures import Figure, main, percentile
from tasks.host.guest import prepare_guest
from tasks.host.settings import load_settings
from tasks.trial.static import check_statically

ROOT = Path(__file__).parents[2]
SCHEDCP = str(Path(sys.executable).parent / "schedcp")
LIBRARY = sorted((ROOT / "bpf/library").glob("*.bpf.c"))
GOOD = sorted((ROOT / "tests/policies/good").glob("*.bpf.c"))
FUZZED = 10_000


def static_figures() -> Iterator[Figure]:
    """The stages source and object, over all good policies, warm."""
    kernel = prepare_guest(load_settings()).kernel
    sources = {path: path.read_text(encoding="utf-8") for path in (*LIBRARY, *GOOD)}
    seconds, builds, rejected = [], [], []
    for warm in (False, True):
        for path, source in sources.items():
            checked = check_statically(source, name=path.name, kernel=kernel, source_dir=path.parent)
            if warm:
                seconds.append(sum(stage.seconds for stage in checked.stages if stage.name != "build"))
                builds += [stage.seconds for stage in checked.stages if stage.name == "build"]
                rejected += [path.name] if not checked.ok else []
    p50, most = 1e3 * statistics.median(seconds), 1e3 * max(seconds)
    yield Figure(
        "source + object, p50 of good policies", f"{p50:.0f} ms, at most {most:.0f} ms", "<= 150 ms", p50 <= 150
    )
    yield Figure(
        "build, p50 of good policies", f"{1e3 * statistics.median(builds):.0f} ms", "none", True, required=False
    )
    result = f"{len(rejected)} of {len(sources)} {' '.join(rejected)}".strip()
    yield Figure("false alarms of the static stages", result, "0", not rejected)


def short_figures() -> Iterator[Figure]:
    """`schedcp verify` of a good policy, short tier, from exec to exit."""
    times = [_verify(path) for path in (*LIBRARY, LIBRARY[-1])][1:]
    p50 = percentile(times, 0.5)
    yield Figure(f"schedcp verify, p50 of {len(times)}", f"{p50:.1f} s, at most {max(times):.1f} s", "<= 8 s", p50 <= 8)


def full_figures() -> Iterator[Figure]:
    """The full tier of one good policy."""
    took = _verify(ROOT / "bpf/library/vtime.bpf.c", "--tier", "full")
    yield Figure("schedcp verify --tier full vtime", f"{took:.0f} s", "<= 300 s", took <= 300)


def fuzz_figures() -> Iterator[Figure]:
    """Broken objects against the analyser."""
    command = [sys.executable, "-m", "verifier_vm.object.fuzz", "--count", str(FUZZED), "--seed", "1"]
    result = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    yield Figure(
        "fuzzed objects, analysis failed", f"{result['failed']} of {result['count']}", "0", result["failed"] == 0
    )
    yield Figure("slowest fuzzed object", f"{result['slowest_s']:.2f} s", "<= 1 s", result["slowest_s"] <= 1)
    yield Figure("memory of the fuzzer, peak", f"{result['peak_mib']:.0f} MiB", "<= 512 MiB", result["peak_mib"] <= 512)


def _verify(path: Path, *options: str) -> float:
    start = time.monotonic()
    done = subprocess.run(
        [SCHEDCP, "verify", str(path), *options, "--json"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise OSError(f"{path.name}: exit {done.returncode}: {done.stderr.strip()[-200:]}")
    return time.monotonic() - start


FIGURES = {"static": static_figures, "short": short_figures, "full": full_figures, "fuzz": fuzz_figures}


def run(argv: Sequence[str] | None = None) -> int:
    """The figures; 1 if a target was missed."""
    return main("verify_bench", FIGURES, argv)


if __name__ == "__main__":
    sys.exit(run())

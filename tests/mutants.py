# SPDX-License-Identifier: Apache-2.0
"""Whether the unit tests notice small faults in the code that decides: `make mutants`, for a night.

Every mutant of every module in mutants.toml meets the tests that this file names for it, in a copy of the tree. Tests
run in forks of a process that has loaded third parties' packages: a mutant costs a second, not a start of pytest.
Figures and survivors go to standard output and as JSON lines to --results. Exit status: 1 if a mutant survives that
mutants.toml does not explain, 2 for bad input.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import warnings
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
CONFIG = HERE / "mutants.toml"
SLOWEST = 5  # times what the tests take by CPU time without a fault, and 10 s; beyond it a mutant works without end
WALL_S = 300.0


def main(words: Sequence[str]) -> int:
    """Parse, run, print; returns the exit status."""
    config = tomllib.loads(CONFIG.read_text())
    parser = argparse.ArgumentParser(description="Meet every mutant of some modules with the tests that concern them.")
    parser.add_argument("modules", nargs="*", help="files such as verifier_vm/judge/gate.py; all by default")
    parser.add_argument("--most", type=int, default=0, help="mutants a module, evenly spaced over its lines; 0 for all")
    parser.add_argument("--calls", action="store_true", help="only faults in what calls hand on; not otherwise made")
    parser.add_argument("--again", type=Path, help="only what survived in the results of an earlier run")
    parser.add_argument("--results", type=Path, default=ROOT / "build" / "mutants.jsonl", help="each mutant's end")
    given = parser.parse_args(words)
    unknown = [name for name in given.modules if name not in config["modules"]]
    if unknown or given.most < 0:
        parser.error(f"no tests are named for {', '.join(unknown)}" if unknown else "--most must be 0 or more")
    if given.again and not given.again.is_file():
        parser.error(f"{given.again}: there are no such results")
    importlib.import_module("mutation")  # while it can be found; it needs cosmic-ray, which only this target does
    given.results.parent.mkdir(parents=True, exist_ok=True)
    given.again = survivors(given.again)
    given.results.write_text("")
    with tempfile.TemporaryDirectory(prefix="mutants.") as name:
        tree = Path(name)
        copy_tree(tree)
        prepare(tree, config["preload"])
        bad = [run_module(tree, module, config, given) for module in given.modules or config["modules"]]
    return 1 if any(bad) else 0


def copy_tree(tree: Path) -> None:
    """The files that git knows or would add, as they lie here."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
    if (ROOT / ".venv").exists():
        (tree / ".venv").symlink_to((ROOT / ".venv").resolve())


def prepare(tree: Path, preload: Sequence[str]) -> None:
    """Make this process one whose forks are tests of `tree`: nothing of ours is loaded, all else may be."""
    # By content, not by time: a mutant is made within the second of the one before, and may be as long.
    compile_all = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash", str(tree)]
    subprocess.run(compile_all, stdout=subprocess.DEVNULL, check=False)  # some planted sources do not compile
    os.chdir(tree)
    os.environ["PYTHONPATH"] = str(tree)
    # LanceDB warns at each fork of what it had running; here it is only loaded. DSPy must be told so before it is.
    warnings.filterwarnings("ignore", message="lancedb fork support", category=RuntimeWarning)
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "true"
    sys.path[:] = [str(tree), *(path for path in sys.path if Path(path or ".").resolve() not in (HERE, ROOT))]
    for name in preload:
        importlib.import_module(name)
    gc.freeze()  # pytest collects garbage at its end: in each fork through all of this, which took half its time


def run_module(tree: Path, module: str, config: dict, given: argparse.Namespace) -> int:
    """Meet a module's mutants; how many survive unexplained."""
    from mutation import HandedOn, mutants

    tests = [str(next(HERE.glob(f"*/{name}"))) for name in config["modules"][module]]
    source, path = (ROOT / module).read_text(), tree / module
    every = mutants(source, [HandedOn()] if given.calls else ())
    chosen = sample(every, given.most)
    if given.again is not None:
        chosen = [mutant for mutant in every if (module, mutant.before, mutant.after) in given.again]
    started = time.monotonic()
    ended, cpu_s, output = run_tests(tests, WALL_S, None)
    within_s = min(WALL_S, 30 + 10 * (time.monotonic() - started))  # a mutant may wait without end, and use no CPU
    if ended != "survived":
        print(f"{module}: its tests fail without any fault:\n{output[-2000:]}", flush=True)
        return 1
    counts = {"killed": 0, "timeout": 0, "survived": 0, "equivalent": 0}
    started = time.monotonic()
    with given.results.open("a") as results:
        for mutant in chosen:
            path.write_text(mutant.code)
            ended, _, _ = run_tests(tests, within_s, cpu_s * SLOWEST + 10)
            if ended == "survived" and reason(config, module, mutant.before, mutant.after):
                ended = "equivalent"
            counts[ended] += 1
            record = {"module": module, "line": mutant.line, "operator": mutant.operator, "before": mutant.before,
                      "after": mutant.after, "ended": ended, "of": len(every)}  # fmt: skip
            results.write(json.dumps(record) + "\n")
            results.flush()
            if ended == "survived":
                print(f"{module}:{mutant.line}: {mutant.before}\n    {mutant.after}", flush=True)
    path.write_text(source)
    figures = ", ".join(f"{count} {name}" for name, count in counts.items())
    took_s = time.monotonic() - started
    print(f"{module}: {len(chosen)} of {len(every)} mutants: {figures} ({took_s:.0f} s)", flush=True)
    return counts["survived"]


def reason(config: dict, module: str, before: str, after: str) -> str:
    """Why no test can or should notice that change, by mutants.toml; empty where it gives no reason.

    `[[equivalent]]` is of one change; `[[figures]]` of every number of the lines that begin with `before`, alone.
    """
    for entry in config.get("equivalent", []):
        if (entry["module"], entry["before"], entry["after"]) == (module, before, after):
            return entry["why"]
    for entry in config.get("figures", []):
        if entry["module"] == module and before.startswith(entry["before"]) and only_a_figure(before, after):
            return entry["why"]
    return ""


NUMBER = re.compile(r"\(-[\d_.]+\)|(?<![\w.\"'])(?:0x\w+|\d[\d_.]*(?:e[+-]?\d+)?)")
DECIDES = re.compile(r"[<>](?!>|<)(?<!<<)(?<!>>)|[=!]=|\b(?:if|not|and|or|in|is|while)\b|\w\[")


def only_a_figure(before: str, after: str) -> bool:
    """Whether two lines differ in one number, and neither asks anything (a comparison, a condition, an index)."""
    if DECIDES.search(before.partition("#")[0]) or NUMBER.sub("0", before) != NUMBER.sub("0", after):
        return False
    numbers = zip(NUMBER.findall(before), NUMBER.findall(after), strict=True)
    return sum(one != other for one, other in numbers) == 1


def sample(every: list, most: int) -> list:
    """At most so many (0: all), evenly spaced over the module's lines."""
    count = min(most or len(every), len(every))
    return [every[at * len(every) // count] for at in range(count)]


def survivors(results: Path | None) -> set[tuple[str, str, str]] | None:
    """Module, line before and line after of what survived in a run."""
    if results is None:
        return None
    records = map(json.loads, results.read_text().splitlines())
    return {(made["module"], made["before"], made["after"]) for made in records if made["ended"] == "survived"}


def run_tests(tests: Sequence[str], wall_s: float, cpu_s: float | None) -> tuple[str, float, str]:
    """How the tests ended in a fork ("killed", "timeout", "survived"), their CPU seconds, and what they printed."""
    with tempfile.TemporaryFile() as printed:
        child = os.fork()
        if child == 0:
            _test(tests, printed.fileno(), cpu_s)
        status, usage = _wait(child, wall_s)
        printed.seek(0)
        text = printed.read().decode(errors="replace")
    if os.WIFSIGNALED(status):
        return "timeout" if os.WTERMSIG(status) in (signal.SIGKILL, signal.SIGXCPU) else "killed", usage, text
    return "survived" if os.WEXITSTATUS(status) == 0 else "killed", usage, text


def _test(tests: Sequence[str], printed: int, cpu_s: float | None) -> None:
    """Never returns."""
    status = 3
    try:
        os.setsid()
        _stay_nice()
        for output in (1, 2):
            os.dup2(printed, output)
        sys.dont_write_bytecode = cpu_s is not None  # the run without a fault keeps what pytest made of the tests
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        if cpu_s is not None:
            resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_s) + 1, int(cpu_s) + 2))
        import pytest

        status = int(pytest.main(["-x", "-q", "--no-header", "-p", "no:cacheprovider", *tests]))
    finally:
        os._exit(status)


def _stay_nice() -> None:
    """A session is scheduled as one, by a niceness of its own that begins at 0 (sched(7)): it shall be ours."""
    try:
        Path("/proc/self/autogroup").write_text(str(os.nice(0)))
    except OSError:
        return  # a kernel without such groups


def _wait(child: int, wall_s: float) -> tuple[int, float]:
    until = time.monotonic() + wall_s
    while True:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            _kill_group(child)  # what a test left running
            return status, usage.ru_utime + usage.ru_stime
        if time.monotonic() > until:
            _kill_group(child)
        time.sleep(0.02)


def _kill_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

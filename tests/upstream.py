# SPDX-License-Identifier: Apache-2.0
"""`make upstream`: the examples of the guest kernel's own source through the verifier, into docs/upstream.md.

The source is Debian's package for the guest's kernel, fetched once into the cache: read, and never kept here.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

from corpus import STAGES  # noqa: E402

from policy_lake.model import Stage, Verdict  # noqa: E402

EXPECTED = Path(__file__).with_name("upstream.toml")
DOCUMENT = Path(__file__).parents[1] / "docs" / "upstream.md"
# Where upstream's Makefile looks for headers, below tools/.
INCLUDES = ("sched_ext/include", "sched_ext/include/bpf-compat", "include/uapi", "include")
ATTEMPTS = 3
INTRODUCTION = """\
# The kernel's own examples

Written by `make upstream` (`tests/upstream.py`), which fetches the source of the guest's kernel, builds each example of
tools/sched_ext without an edit, takes it through every stage, and fails where a verdict is not what reading the example
justifies (`tests/upstream.toml`). With the kernel's source in LINUX:

```
schedcp verify LINUX/tools/sched_ext/scx_simple.bpf.c -I LINUX/tools/sched_ext/include \\
  -I LINUX/tools/sched_ext/include/bpf-compat -I LINUX/tools/include/uapi -I LINUX/tools/include
```
"""


@dataclass(frozen=True, slots=True)
class Example:
    """What is expected of one example, and why; `sets` is what its loader fills that no loader could guess."""

    name: str
    accepted: bool
    reading: str
    stage: str = ""
    sets: Mapping[str, str] = field(default_factory=dict)

    def holds(self, verdict: Verdict) -> bool:
        """Is it built, and judged as reading it justifies?"""
        built = next((stage.ok for stage in verdict.stages if stage.name == "build"), False)
        first = verdict.rejection.stage if verdict.rejection else ""
        return built and verdict.accepted == self.accepted and first == self.stage


def read_expected() -> tuple[str, tuple[Example, ...]]:
    """The package with the source, and what is expected of each of its examples."""
    read = tomllib.loads(EXPECTED.read_text(encoding="utf-8"))
    return read.pop("package"), tuple(Example(name, **fields) for name, fields in read.items())


def fetch(package: str, cache_dir: Path) -> Path:
    """tools/ of the kernel's source with what the examples need, fetched once; InfraError where it is not to be had."""
    from verifier_vm.machine.kernel import fetch_into, private_apt

    place = cache_dir / "upstream"
    tools = place / package / "tools"
    if not (tools / "sched_ext").is_dir():
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="apt-", dir=place) as work:
            fetch_into(Path(work), package, private_apt(Path(work)))
            archive = next(Path(work, "usr/src").glob("*.tar.xz"))
            parts = [f"*/tools/{part}" for part in ("sched_ext", "include")]
            subprocess.run(["tar", "-C", str(place), "-xf", str(archive), "--wildcards", *parts], check=True)
    return tools


def main(arguments: Sequence[str]) -> int:
    """Verify every example and write the document; with names of examples, only print what becomes of those."""
    from tasks.host.settings import load_settings

    package, examples = read_expected()
    tools = fetch(package, load_settings().cache_dir)
    found = {path.name.removesuffix(".bpf.c") for path in (tools / "sched_ext").glob("*.bpf.c")}
    if missing := found - {example.name for example in examples}:
        print(f"nothing is expected of {', '.join(sorted(missing))}: read them, and say what in {EXPECTED.name}")
        return 1
    wrong, rows = [], []
    for example in examples:
        if arguments and example.name not in arguments:
            continue
        verdict = judged(example, tools)
        print(f"{example.name}: {said(verdict)}", file=sys.stderr, flush=True)
        rows.append((example, verdict))
        wrong += [] if example.holds(verdict) else [example.name]
    if not arguments:
        DOCUMENT.write_text(document(package, rows), encoding="utf-8")
    print(f"not as reading it justifies: {', '.join(wrong) or 'none'}")
    return 1 if wrong else 0


def judged(example: Example, tools: Path) -> Verdict:
    """The verdict on one example; a guest that was lost is another one's to try, as in any run."""
    from policy_lake.errors import InfraError
    from tasks.host.settings import load_settings
    from tasks.verify import VerifyOptions, verify

    path, includes = tools / "sched_ext" / f"{example.name}.bpf.c", [tools / include for include in INCLUDES]
    for left in reversed(range(ATTEMPTS)):
        try:
            options = VerifyOptions(check_all=True)
            return verify(path, load_settings(), sets=example.sets, include_dirs=includes, options=options).verdict
        except InfraError as error:
            print(f"{example.name}: {error}", file=sys.stderr, flush=True)
            if not left:
                raise
    raise AssertionError("the last attempt returns or raises")


def said(verdict: Verdict) -> str:
    """The verdict in one line."""
    rejection = verdict.rejection
    return f"rejected at {rejection.stage} ({rejection.bug}): {rejection.reason}" if rejection else "accepted"


def document(package: str, rows: Sequence[tuple[Example, Verdict]]) -> str:
    """The whole of docs/upstream.md."""
    kernel = next((verdict.kernel for _, verdict in rows if verdict.kernel), "")
    lines = [INTRODUCTION, f"Debian's {package}, kernel {kernel}.", ""]
    lines += [f"| example | {' | '.join(STAGES)} | verdict |", "|---" * (2 + len(STAGES)) + "|"]
    for example, verdict in rows:
        stages = {stage.name: _word(stage) for stage in verdict.stages}
        cells = " | ".join(stages.get(name, "") for name in STAGES)
        lines.append(f"| `{example.name}` | {cells} | {'accepted' if verdict.accepted else 'rejected'} |")
    for example, verdict in rows:
        lines += ["", f"## {example.name}", "", " ".join(example.reading.split())]
        if example.sets:
            lines += ["", "Set: " + " ".join(f"`--set {name}={value}`" for name, value in example.sets.items()) + "."]
        lines += ["", f"The verifier: {said(verdict)}."]
    return "\n".join([*lines, ""])


def _word(stage: Stage) -> str:
    return "passed" if stage.ok else "rejects"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

# SPDX-License-Identifier: Apache-2.0
"""From a composition to its policy: the .bpf.c, as one writes it by hand.

`python -m bpf.compose --write` renders the named compositions into bpf/library anew.
"""

from __future__ import annotations

import sys

from bpf.composing import names, records
from bpf.composing.callbacks import callbacks
from bpf.composing.functions import functions
from bpf.composing.knobs import declaration, knobs_of
from bpf.composing.words import opening
from bpf.composition import Composition

# REUSE-IgnoreStart
LICENCE = "// SPDX-License-Identifier: GPL-2.0-only"
# REUSE-IgnoreEnd


def compose(composition: Composition) -> str:
    """The C of a composition: a whole policy, with nothing that it does not use; CompositionError for a preset."""
    c = composition
    essay = f"{LICENCE}\n{opening(c)}\n" + "\n".join(f'#include "{path}"' for path in _includes(c))
    of_life = callbacks(c)
    parts = [
        essay,
        "\n".join(declaration(knob) for knob in knobs_of(c)),
        _queues(c),
        *records.record(c),
        records.variables(c),
        f"SX_EXIT_RECORD();\nSX_COUNTS_CPUS({c.name})",
        *functions(c),
        *of_life.values(),
        _table(c, tuple(of_life)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _includes(c: Composition) -> list[str]:
    """In order of the alphabet."""
    needed = {
        "burst": c.bursts,
        "cpus": c.preempt != "none" or c.place in ("warm", "two") or c.several,
        "cputime": c.order == "vtime" or c.bursts,
        "due": c.due,
        "idle": True,
        "kthread": True,
        "llc": c.queues == "llc",
        "putoff": c.order in ("deadline", "shortest", "interactive", "longest"),
        "slice": True,
        "steal": c.several,
        "turn": c.preempt != "none",
        "vtime": c.order == "vtime",
        "warm": c.place == "warm",
    }
    return ["sx/sx.h", *(f"primitives/{name}.bpf.h" for name, wanted in needed.items() if wanted)]


def _queues(c: Composition) -> str:
    which = {"cpu": "CPU", "llc": "cache"}.get(c.queues)
    note = f" /* the queue of {which} n is {names.queue_enum(c)} + n */" if which else ""
    return f"enum {c.name}_dsq {{\n\t{names.queue_enum(c)} = 0,{note}\n}};"


def _table(c: Composition, has: tuple[str, ...]) -> str:
    at = has.index("init")
    members = [f".{name} = (void *){c.name}_{name}" for name in (*has[:at], "cpu_online", "cpu_offline", *has[at:])]
    rows = [*members, ".flags = SCX_OPS_KEEP_BUILTIN_IDLE", ".timeout_ms = 5000"]
    return f"SX_OPS({c.name},\n       " + ",\n       ".join(rows) + ");"


def main(arguments: list[str]) -> int:
    """Write the library's compositions, or say which files differ from their renderings (status 1)."""
    from bpf.library import LIBRARY_DIR, SUFFIX
    from bpf.library_compositions import COMPOSITIONS

    differ = []
    for one in COMPOSITIONS:
        path, text = LIBRARY_DIR / f"{one.name}{SUFFIX}", compose(one)
        if not path.exists() or path.read_text() != text:
            differ.append(path)
            if "--write" in arguments:
                path.write_text(text)
    for path in differ:
        print(f"{'written' if '--write' in arguments else 'differs from its composition'}: {path}")
    return 1 if differ and "--write" not in arguments else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

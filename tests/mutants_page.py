# SPDX-License-Identifier: Apache-2.0
"""docs/mutants.md from the results of `make mutants`: `python tests/mutants_page.py RESULTS...` writes it.

Of a mutant that several results have, the last counts; what survived in the first is counted beside it. What the page
says of modules that the results do not have stays, as a whole night is seldom had for all of them.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "mutants.md"
HEAD = """# Mutants

`make mutants` makes small faults in the code that decides, one at a time, and runs the unit tests that concern it: a
comparison or a condition turned round, `and` for `or`, a limit moved, a handler that catches nothing, a loop that does
nothing. A mutant is killed when a test fails (or works without end), and survives when none does. Words for people
(f-strings), types, imports and decorators are not damaged. `tests/mutants.toml` names the tests for each module, and
gives the reason for each survivor that no test can or should notice, for figures that decide nothing by themselves one
for all lines that begin alike; any other survivor fails the target.

`make mutants MODULES="verifier_vm/judge/gate.py" MOST=40` takes some modules, and of each at most so many mutants,
evenly spaced over its lines: of how many, the table says.
"""


def page(records: Sequence[dict], config: dict, note: str = "", named: Sequence[str] = (), before: str = "") -> str:
    """The page: figures a module, then the survivors, then those with a reason; and of `named`, what was not run.

    `config` is mutants.toml; the page as it was `before` tells of the modules in `named` that no record is of.
    """
    last = {_key(made): made for made in records}
    first = {_key(made): made for made in reversed(records)}
    modules: dict[str, list[dict]] = {}
    for made in last.values():
        modules.setdefault(made["module"], []).append(made)
    kept = {name: lines for name, lines in told(before).items() if name in named and name not in modules}
    rows = {name: lines[0] for name, lines in kept.items()}
    lines = [HEAD, "## Figures", "", "| module | mutants | of | survived at first | killed | with a reason | survive |"]
    lines.append("|---|---|---|---|---|---|---|")
    for module, mutants in modules.items():
        ends = [made["ended"] for made in mutants]
        killed = ends.count("killed") + ends.count("timeout")
        at_first = sum(first[_key(made)]["ended"] in ("survived", "equivalent") for made in mutants)
        counts = [len(ends), mutants[-1]["of"], at_first, killed, ends.count("equivalent"), ends.count("survived")]
        rows[module] = f"| `{module}` | {' | '.join(map(str, counts))} |"
    order = {name: place for place, name in enumerate(named)}
    lines += [rows[name] for name in sorted(rows, key=lambda name: order.get(name, len(order)))]
    lines += [
        "",
        "At first: with the tests that were there before this target; survivors with a reason count there, too.",
    ]
    lines += ["", note.strip()] if note else []
    left = [f"`{module}`" for module in named if module not in rows]
    lines += ["", f"Named in `tests/mutants.toml` and not run yet: {', '.join(left)}."] if left else []
    lines += ["", "## Survivors without a reason", ""]
    survived = [made for made in last.values() if made["ended"] == "survived"]
    alive = [f"- `{made['module']}:{made['line']}` `{made['before']}` as `{made['after']}`" for made in survived]
    alive += [line for kept_lines in kept.values() for line in kept_lines[1:]]
    lines += alive or ["None."]
    lines += ["", "## Survivors with a reason", ""]
    lines += [
        f"- `{made['module']}` `{made['before']}` as `{made['after']}`: {made['why']}"
        for made in config.get("equivalent", [])
    ]
    for made in config.get("figures", []):
        lines.append(f"- `{made['module']}` `{made['before']}`, whatever number stands there: {made['why']}")
    return "\n".join(lines) + "\n"


def told(text: str) -> dict[str, list[str]]:
    """Of each module of a page its row, and behind it the lines of its survivors without a reason."""
    figures, _, rest = text.partition("\n## Survivors without a reason\n")
    found = {row[1]: [row[0]] for row in re.finditer(r"^\| `([^`]+)` \|.*$", figures, re.MULTILINE)}
    for line in re.finditer(r"^- `([^`:]+):\d+` .*$", rest.partition("\n## ")[0], re.MULTILINE):
        found.get(line[1], []).append(line[0])
    return found


def _key(made: dict) -> tuple:
    return made["module"], made["operator"], made["line"], made["after"]


if __name__ == "__main__":
    results = [json.loads(line) for name in sys.argv[1:] for line in Path(name).read_text().splitlines()]
    config = tomllib.loads(Path(__file__).with_name("mutants.toml").read_text())
    before = PAGE.read_text() if PAGE.exists() else ""
    PAGE.write_text(page(results, config, config["note"], list(config["modules"]), before))

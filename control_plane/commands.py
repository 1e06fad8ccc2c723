# SPDX-License-Identifier: Apache-2.0
"""How the commands show themselves: a whole summary each in a list of commands, and examples at the end of a help."""

from __future__ import annotations

import importlib.metadata
import sys
from functools import partial
from pathlib import Path
from typing import Any, get_args

import typer
from typer.core import TyperGroup

from control_plane.misnamed import misnamed
from policy_lake.errors import InfraError, InputError
from policy_lake.process_limits import GUEST, LAKE, RUN, Needs, shortage
from policy_lake.show import for_terminal, is_utf8, shortened

# By a command's words after `schedcp`. A test parses each and asks that no command is without.
EXAMPLES: dict[str, tuple[str, ...]] = {
    "setup": ("schedcp setup", "SCHEDCP_KERNEL=/boot/vmlinuz-mine schedcp setup"),
    "doctor": ("schedcp doctor", "schedcp doctor --json"),
    "tune": (
        "schedcp tune batch",
        "schedcp tune wakeup --cpus 8 --llcs 2",
        "schedcp tune batch --work shuffle=1 --iterations 2 --json",
    ),
    "up": ("schedcp up",),
    "down": ("schedcp down",),
    "verify": (
        "schedcp verify mine.bpf.c",
        "schedcp verify mine.bpf.c -I include --knob slice_ns=2000000 --all",
        "schedcp verify mine.bpf.c --for web1.json",
        "schedcp verify mine.bpf.c --tier full --require cgroups -w batch",
    ),
    "score": (
        "schedcp score vtime -w batch",
        "schedcp score mine.bpf.c -w wakeup --knob slice_ns=5000000 --control best --plots pictures --perfetto",
        "schedcp score --again 0123abcd",
    ),
    "bench-suite": (
        "schedcp bench-suite --policies fifo,ljf --cases batch-2",
        "schedcp bench-suite --planners embedded,random --max-runs 40 --plots pictures",
    ),
    "campaign": ("schedcp campaign spring.toml --plan", "schedcp campaign spring.toml --plots pictures --json"),
    "compare": ("schedcp compare batch --planners embedded,random --max-runs 40", "schedcp compare schbench --json"),
    "record": ("schedcp record -o build.parquet -- make -j2", "schedcp record -o build.parquet --hash-names -- make"),
    "observe": (
        "schedcp observe --service nginx --duration 30",
        "schedcp observe --pid 4711 --tier histograms --plots pictures",
        "schedcp observe --container web --json",
        "schedcp observe -- make -j4",
    ),
    "fidelity": ("schedcp fidelity build.parquet --cpus 4",),
    "clean": ("schedcp clean --dry-run", "schedcp clean --all"),
    "policies": ("schedcp policies",),
    "runs": ("schedcp runs --json",),
    "report": ("schedcp report --html report", "schedcp report --html /srv/www/schedcp --runs 10000"),
    "calls": ("schedcp calls", "schedcp calls schbench-2026 --json"),
    "explain": ("schedcp explain batch-2026 --plots pictures",),
    "lessons": ("schedcp lessons", "schedcp lessons batch --json"),
    "lake search": ("schedcp lake search 'short jobs behind a long one' --limit 5",),
    "lake show": ("schedcp lake show 0123abcd",),
    "lake export": ("schedcp lake export ours.parquet",),
    "lake import": ("schedcp lake import theirs.parquet", "schedcp lake import theirs.parquet --json"),
    "lake merge": ("schedcp lake merge /srv/team/lake",),
    "lake rebuild": ("schedcp lake rebuild",),
    "workloads": ("schedcp workloads", "schedcp workloads show batch", "schedcp workloads add mine.toml"),
    "workloads show": ("schedcp workloads show batch",),
    "workloads add": (
        "schedcp workloads add mine.toml",
        "schedcp workloads add build.parquet --footprint cc1=4096",
        "schedcp workloads add server.parquet --kind service",
    ),
    "machines": ("schedcp machines", "schedcp machines show desktop", "schedcp machines --json"),
    "machines show": ("schedcp machines show server --cpus 16", "schedcp machines show mine.toml"),
    "machine measure": ("schedcp machine measure -o mine.toml",),
    "host describe": ("schedcp host describe -o web1.json",),
    "token show": ("schedcp token show mine.dsse.json",),
    "token check": ("schedcp token check mine.dsse.json --object mine.bpf.o --knob slice_ns=2000000 --stage canary",),
    "token revoke": ("schedcp token revoke mine.dsse.json --reason 'stalls under load'",),
    "token restore": ("schedcp token restore",),
    "audit verify": ("schedcp audit verify --host fleet-1", "schedcp audit verify audit.jsonl --host fleet-1"),
    "export": ("schedcp export mine.dsse.json --oci carried",),
    "rollout": (
        "schedcp rollout fifo.token.json --object fifo.bpf.o --plan plan.toml --host fleet-1 --host fleet-2",
        "schedcp rollout fifo.token.json --object fifo.bpf.o --plan plan.toml --host web-1@10.0.0.7:7373",
        "schedcp rollout oci:carried --plan plan.toml --host fleet-1",
    ),
    "stop": ("schedcp stop --host fleet-1 --host fleet-2",),
    "fleet up": ("schedcp fleet up --hosts 3", "schedcp fleet up --name lab --hosts 2 --memory 1024 --workload batch"),
    "fleet status": ("schedcp fleet status", "schedcp fleet status --name lab --json"),
    "fleet down": ("schedcp fleet down", "schedcp fleet down --name lab --keep"),
    "fleet restart": ("schedcp fleet restart fleet-1",),
    "fleet console": ("schedcp fleet console fleet-1",),
    "nights": ("schedcp nights", "schedcp nights show batch", "schedcp nights bisect batch --json"),
    "nights show": ("schedcp nights show batch",),
    "nights bisect": ("schedcp nights bisect batch",),
    "nights notify": ("schedcp nights notify --webhook https://chat.example.org/hooks/abc",),
    "mcp": ("schedcp mcp", "schedcp mcp --allow-run", "schedcp mcp --http 127.0.0.1:7375"),
    "verifierd": ("schedcp verifierd --config /etc/schedcp/verifierd.toml",),
    "verifierd status": ("schedcp verifierd status",),
    "verifierd trust": ("schedcp verifierd trust trust-for-hosts",),
    "verifierd evidence": (f"schedcp verifierd evidence {'0123abcd' * 8} -o evidence.json",),
    "token log": ("schedcp token log", "schedcp token log --check"),
}
# By a command's first word; the others need what any small process does.
NEEDS: dict[str, Needs] = {
    **dict.fromkeys(("tune", "up", "campaign"), RUN),
    **dict.fromkeys(("verify", "score", "compare", "bench-suite", "record", "fidelity", "setup", "fleet"), GUEST),
    **dict.fromkeys(("lake", "runs", "explain", "lessons", "calls", "audit", "mcp", "nights", "report"), LAKE),
}
# Arguments that are an id or a path: a path has whatever bytes its file has.
MAY_BE_FILES = ("workload", "policy", "what", "machine")
LONGEST_SHOWN = 60


class Commands(TyperGroup):
    """A command of commands."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that these words name; InfraError at once if this process may not have what it needs.

        A variable SCHEDCP_… that is no setting is said on stderr.
        """
        found = super().resolve_command(ctx, args)
        if ctx.parent or ctx.resilient_parsing or {"--help", "-h"} & set(args):
            return found
        needs = NEEDS.get(found[0] or "")
        if needs and (short := shortage(needs)):
            raise InfraError(short)
        if wrong := misnamed():
            sys.stderr.write(f"schedcp: warning: {wrong}\n")
        return found

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name with its examples, or None."""
        command = super().get_command(ctx, cmd_name)
        # The words below the program's own name, whatever that is.
        above = ctx.command_path.split()[1:] if ctx.parent else []
        examples = EXAMPLES.get(" ".join([*above, cmd_name]))
        if command:
            _look_at_words(command)
        if command and examples:
            # \b: lines are kept as they are.
            command.epilog = "\n".join(["\b", "Examples:", *(f"  {example}" for example in examples)])
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list, where typer's own would cut what is longer than a line."""
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        shown = [(name, command) for name, command in found if command and not command.hidden]
        with formatter.section("Commands"):
            # A command's summary is its docstring's first sentence, and no docstring has 1,000 characters.
            formatter.write_dl([(name, command.get_short_help_str(1000)) for name, command in shown])


def _look_at_words(command: Any) -> None:
    """Let the command's options and arguments refuse words that none of them can mean."""
    for parameter in command.params:
        if Path in _types(parameter):
            parameter.process_value = partial(_no_empty_path, parameter, parameter.process_value)
        # The words of `record` are another command's.
        elif parameter.callback is None and not command.context_settings.get("ignore_unknown_options"):
            parameter.callback = _utf8


def _utf8(context: Any, parameter: Any, value: Any) -> Any:
    """The value of an option or argument that is text; InputError for one that could be neither stored nor found."""
    for text in value if isinstance(value, list | tuple) else (value,):
        if isinstance(text, str) and not is_utf8(text) and not (parameter.name in MAY_BE_FILES and Path(text).exists()):
            raise InputError(f"{parameter_name(parameter)} '{for_terminal(shortened(text, LONGEST_SHOWN))}': not UTF-8")
    return value


def _no_empty_path(parameter: Any, process: Any, context: Any, value: Any) -> Any:
    """The value of an option or argument that is a path; InputError for an empty one, which would be the directory."""
    if "" in (value if isinstance(value, list | tuple) else (value,)):
        raise InputError(f"{parameter_name(parameter)} '': the path is empty")
    return process(context, value)


def _types(parameter: Any) -> tuple[Any, ...]:
    annotation = parameter.type_descriptor.annotation
    return (annotation, *get_args(annotation))


def parameter_name(parameter: Any) -> str:
    """An option or argument as a user writes it: `--knob`, `FILE`."""
    return parameter.opts[-1] if parameter.opts[0].startswith("-") else str(parameter.name).upper()


def show_version(wanted: bool) -> None:
    """Print the version and end, if that is what was asked for."""
    if not wanted:
        return
    try:
        version = importlib.metadata.version("schedcp")
    except importlib.metadata.PackageNotFoundError:
        version = "of no installed version"
    typer.echo(f"schedcp {version}")
    raise typer.Exit

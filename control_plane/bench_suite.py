# SPDX-License-Identifier: Apache-2.0
"""`schedcp bench-suite`: the public benchmark as a table and a picture; status 1 where EEVDF's digits differ."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.suite import Digits, suite, written
from benchmarks.suite_result import SuiteResult
from control_plane.output import escape, out, print_json, working
from control_plane.results import BenchSuiteOutput
from policy_lake.errors import InputError
from policy_lake.files import atomic_write, check_writable
from tasks.bench_suite import SuiteRequest, cases_of, measured_digits, run_suite, settings_for
from tasks.host.lake import open_lake
from tasks.host.settings import Settings
from tasks.run.certainty import ratio_text

DIFFERS = 1
OPENED = "suite-opened.json"  # in the data directory: which release opened the held cases, and when


def bench_suite_command(
    request: SuiteRequest, settings: Settings, freeze: Path | None, plots: Path | None, *, as_json: bool
) -> int:
    """Run it, print, return the exit status."""
    from tasks.trial.pictures import check_directory

    if plots is not None:
        check_directory(plots)
    if freeze is not None:
        return _freeze(request, settings, freeze)
    if request.held:
        cases_of(suite(request.version), request)  # nothing is opened by a request that cannot be met
        open_held(settings)
    with working("running the public benchmark"):
        result = run_suite(request, settings, open_lake(settings))
    pictures = {name: str(path) for name, path in _draw(result, plots).items()} if plots is not None else {}
    differing = any(status == "differs" for status in result.frozen.values())
    if as_json:
        print_json("bench-suite", BenchSuiteOutput(result, pictures))
        return DIFFERS if differing else 0
    for line in table(result):
        out().print(escape(line), soft_wrap=True)
    for name, path in pictures.items():
        out().print(f"{escape(name)}: {escape(path)}", soft_wrap=True)
    return DIFFERS if differing else 0


def open_held(settings: Settings) -> None:
    """Note that this release opens the held cases; InputError if it has done so before, for then they are known."""
    path, release = settings.data_dir / OPENED, importlib.metadata.version("schedcp")
    try:
        opened = json.loads(path.read_bytes())
    except FileNotFoundError:
        opened = {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    if not isinstance(opened, dict) or release in opened:
        raise InputError(
            f"--held: release {release} has opened them on {opened.get(release, 'a day unknown')[:40]} ({path}): what "
            "is chosen by their outcome is no longer tested by them"
        )
    atomic_write(path, json.dumps({**opened, release: f"{datetime.now(UTC):%Y-%m-%d %H:%M}"}).encode())


def _freeze(request: SuiteRequest, settings: Settings, path: Path) -> int:
    check_writable(path)
    made: dict[str, Digits] = {}
    of = suite(request.version)
    for case in of.cases:  # the held ones, too: EEVDF alone is run, and nothing is chosen by it
        with working(f"measuring EEVDF in {case.id}"):
            made[case.id] = measured_digits(of, case, settings_for(case, settings), open_lake(settings))
    atomic_write(path, written(made))
    out().print(escape(f"{path}: EEVDF's digits in {len(made)} cases"), soft_wrap=True)
    return 0


def table(result: SuiteResult) -> Iterator[str]:
    """Contenders over all cases, then each case with its best first, then what EEVDF's digits are."""
    yield f"suite v{result.version}, {len(result.frozen)} {'held ' if result.held else ''}cases"
    for total in result.totals:
        share = f", {100 * total.share:.0f} % of what arithmetic allows" if total.share is not None else ""
        yield (
            f"  {total.contender:<22} mean {ratio_text(total.mean):<20} {total.wins} wins, {total.losses} losses"
            f"{share}; {total.seconds:.0f} s"
        )
    for case, status in result.frozen.items():
        yield f"{case} (EEVDF's digits: {status})"
        own = sorted((one for one in result.results if one.case == case), key=lambda one: -one.ratio.median)
        for one in own:
            bound = f" of {one.bound:.2f}x" if one.bound is not None else ""
            said = f"may not run: {one.why_not}" if one.why_not else f"{ratio_text(one.ratio)}{bound}, {one.outcome}"
            by = f" by {one.policy}" if one.policy not in ("", one.contender) else ""
            yield f"  {one.contender:<22} {said}{by}"


def _draw(result: SuiteResult, directory: Path) -> dict[str, Path]:
    from benchmarks.plot_courses import draw_suite
    from tasks.trial.pictures import Form, write_pictures

    def drawn(form: Form) -> Iterator[tuple[str, bytes]]:
        yield "suite", draw_suite(result, form=form)

    return write_pictures(directory, drawn)

# SPDX-License-Identifier: Apache-2.0
"""`make fuzz-policies`: sound policies by a generator, and mutants of them with one fault each, through the verifier.

What each came to is kept under the digests of its source and of the verifier, so a run that was stopped goes on where
it was. Mutants that the short tier accepts meet the full one, and so do some sound policies. Writes
docs/fuzz-policies.md; with --known it judges nothing and writes of what is known, and of how much that is. Exit status:
1 if a sound policy is rejected, or a mutant accepted that fuzz_policies.toml does not explain; 2 for bad input.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from policy_fuzz.compose import compose  # noqa: E402
from policy_fuzz.designs import Design, some_designs  # noqa: E402
from policy_fuzz.faults import MUTATIONS  # noqa: E402
from policy_fuzz.judging import Judged, Work, judge_all, read_kept, verifier_digest  # noqa: E402
from policy_fuzz.mutation import Mutant, some_mutants, unseen_kinds  # noqa: E402
from policy_fuzz.page import Explanation, Fate, Run, document, figures  # noqa: E402

DOCUMENT = HERE.parent / "docs" / "fuzz-policies.md"
EXPLAINED = HERE / "fuzz_policies.toml"
RESULTS = HERE.parent / "build" / "fuzz-policies.jsonl"
JOBS = 2


def main(words: Sequence[str]) -> int:
    """Generate, judge, write; returns the exit status."""
    given = parse(words)
    run: Run | None = None
    try:
        run = judged_run(given)
    except KeyboardInterrupt:
        print("stopped: what was judged is kept, and the next run goes on from there", file=sys.stderr)
        return 130
    if not given.only:
        DOCUMENT.write_text(document(run), encoding="utf-8")
    for fate in run.accepted:
        print(f"accepted: {fate.mutant.mutation.kind} ({fate.mutant.mutation.breaks}) of {fate.mutant.design}")
    for design, verdict in (*run.sound_rejected, *run.sound_rejected_in_full):
        print(f"rejected, and sound: {design}: {verdict.stage} {verdict.bug} {verdict.reason}")
    print(figures(run))
    return 1 if run.sound_rejected or run.sound_rejected_in_full or any(not fate.why for fate in run.accepted) else 0


def parse(words: Sequence[str]) -> argparse.Namespace:
    """What the command line asks for; exits with 2 where it cannot be had."""
    parser = argparse.ArgumentParser(description="Fuzz the verifier by policies.")
    parser.add_argument("--count", type=int, default=450, help="mutants with a fault that a long run can show")
    parser.add_argument("--sound", type=int, default=220, help="policies without a fault")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tier", choices=("short", "full"), default="full", help="full: for what the short accepts")
    parser.add_argument("--full-sound", type=int, default=16, help="sound policies that meet the full tier, too")
    parser.add_argument("--known", action="store_true", help="judge nothing, write the page of what is known")
    parser.add_argument("--only", action="append", default=[], metavar="KIND", help="of mutation; writes no page")
    parser.add_argument("--results", type=Path, default=RESULTS, help="what is known, one JSON line a policy")
    parser.add_argument("--jobs", type=int, default=JOBS, help="guests at once")
    parser.add_argument("--kinds", action="store_true", help="list the kinds of mutation, and end")
    given = parser.parse_args(words)
    if unknown := [kind for kind in given.only if kind not in MUTATIONS]:
        parser.error(f"--only {unknown[0][:80]}: no kind of mutation; --kinds lists them")
    if min(given.count, given.sound, given.jobs) < 1:
        parser.error("--count, --sound and --jobs must be 1 or more")
    if given.kinds:
        for kind, change in MUTATIONS.items():
            print(f"{kind:24} {change.breaks:4} {change.shows}")
        parser.exit(0)
    return given


def judged_run(given: argparse.Namespace) -> Run:
    """All that is judged in a run."""
    designs = some_designs(given.sound, given.seed)
    full_sound = designs[:: max(1, len(designs) // given.full_sound)][: given.full_sound] if given.full_sound else ()
    if given.known:
        return known_run(given, designs, full_sound)

    def judge(what: str, work: Sequence[Work], jobs: int = given.jobs) -> dict[str, Judged]:
        return judge_all(work, given.results, jobs=jobs, say=lambda text: print(f"{what}: {text}", flush=True))

    known = judge("sound", [_sound(design) for design in designs])
    sound = {design: known[_sound(design).digest] for design in designs}
    bases = [design for design, verdict in sound.items() if verdict.accepted]
    mutants = some_mutants(bases, given.count, given.seed, given.only)
    needing = [_sound(one.design, one.mutation.need) for one in mutants if one.mutation.need]
    able = judge("sound, with what hosts need", needing)
    mutants = tuple(
        one for one in mutants
        if not one.mutation.need or able[_sound(one.design, one.mutation.need).digest].accepted
    )  # fmt: skip
    known |= judge("mutants", [_mutated(one, "short") for one in mutants])
    if bad := [one for one in mutants if known[_mutated(one, "short").digest].stage == "build"]:
        raise SystemExit(f"the generator is at fault: {bad[0].mutation.kind} of {bad[0].design} does not compile")
    left = [one for one in mutants if known[_mutated(one, "short").digest].accepted] if given.tier == "full" else []
    known |= judge("full tier", [_mutated(one, "full") for one in left], 1)
    if given.tier == "full":
        known |= judge("full tier, sound", [_sound(design, tier="full") for design in full_sound], 1)
    return _told(given.seed, designs, full_sound, mutants, known)


def known_run(given: argparse.Namespace, designs: Sequence[Design], full_sound: Sequence[Design]) -> Run:
    """What the file of results has of a run that was not judged to its end."""
    known = read_kept(given.results, verifier_digest())
    return _told(given.seed, designs, full_sound, some_mutants(designs, given.count, given.seed, given.only), known)


def _told(
    seed: int, designs: Sequence[Design], full_sound: Sequence[Design], mutants: Sequence[Mutant],
    known: Mapping[str, Judged],
) -> Run:  # fmt: skip
    """All that is known of a run's policies."""
    read = tomllib.loads(EXPLAINED.read_text(encoding="utf-8"))
    explained = [Explanation(**entry) for entry in read.get("accepted", [])]
    fates = [
        Fate.of(one, known[_mutated(one, "short").digest], known.get(_mutated(one, "full").digest), explained)
        for one in mutants if _mutated(one, "short").digest in known
    ]  # fmt: skip
    sound = {design: known[_sound(design).digest] for design in designs if _sound(design).digest in known}
    whole = {design: _sound(design, tier="full").digest for design in full_sound}
    in_full = {design: known[digest] for design, digest in whole.items() if digest in known}
    return Run(
        seed, verifier_digest(), sound, tuple(fates), unseen_kinds(designs), tuple(read.get("found", ())), in_full,
        (len(mutants), len(designs)), read.get("sample", ""),
    )  # fmt: skip


def _sound(design: Design, need: str = "", tier: str = "short") -> Work:
    return Work(compose(design).source(str(design)), need, tier)


def _mutated(mutant: Mutant, tier: str) -> Work:
    return Work(mutant.source, mutant.mutation.need, tier)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

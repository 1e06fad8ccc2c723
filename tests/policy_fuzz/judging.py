# SPDX-License-Identifier: Apache-2.0
"""Policies through the verifier, two at a time; what is known of one by this verifier is kept and never asked again."""

from __future__ import annotations

import ctypes
import hashlib
import json
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
# All that a verdict hangs on, the policies themselves aside.
VERIFIER = ("verifier_vm", "policy_lake", "tasks/trial", "tasks/verify.py", "tasks/host", "bpf/include",
            "bpf/primitives", "bpf/build.py")  # fmt: skip
ATTEMPTS = 3
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Work:
    """A source to judge, and what the hosts need that it runs on (a word of `--require`, or none)."""

    source: str
    need: str
    tier: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps([self.source, self.need, self.tier]).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of one: the stage that rejected it first and why, or empty; `infra` where nothing can be said."""

    digest: str
    verifier: str
    accepted: bool
    stage: str = ""
    bug: str = ""
    reason: str = ""
    infra: str = ""
    seconds: float = 0.0


def verifier_digest(root: Path = ROOT) -> str:
    """What names the verifier: of every file that a verdict hangs on."""
    total = hashlib.sha256()
    for name in VERIFIER:
        place = root / name
        files = [place] if place.is_file() else [one for end in ("py", "c", "h") for one in place.rglob(f"*.{end}")]
        for path in sorted(files):
            total.update(f"{path.relative_to(root)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:16]


def read_kept(path: Path, verifier: str) -> dict[str, Judged]:
    """What an earlier run of the same verifier found, by digest; a last line that was cut off is dropped."""
    kept: dict[str, Judged] = {}
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            one = Judged(**json.loads(text))
        except (json.JSONDecodeError, TypeError):
            continue
        if one.verifier == verifier and not one.infra:
            kept[one.digest] = one
    return kept


def judge_all(work: Sequence[Work], kept_path: Path, *, jobs: int, say: Callable[[str], None]) -> dict[str, Judged]:
    """What becomes of each, by digest: from the file of results, or by the verifier, which then adds to it.

    By Ctrl-C it ends after those that are under way, with what is known.
    """
    verifier = verifier_digest()
    known = read_kept(kept_path, verifier)
    left = list({one.digest: one for one in work if one.digest not in known}.values())
    say(f"{len(work)} to judge, {len(work) - len(left)} known of verifier {verifier}")
    kept_path.parent.mkdir(parents=True, exist_ok=True)
    began, done = time.monotonic(), 0
    with kept_path.open("a", encoding="utf-8") as results:
        for one in _through_pool(left, verifier, jobs):
            done += 1
            results.write(json.dumps(asdict(one)) + "\n")
            results.flush()
            known[one.digest] = one
            rest = len(left) - done
            ends_s = rest * (time.monotonic() - began) / done
            what = one.infra or (f"rejected at {one.stage} {one.bug}" if not one.accepted else "accepted")
            say(f"{done} of {len(left)}: {what}; {rest} left, about {ends_s / 60:.0f} min")
    return known


def _through_pool(left: Iterable[Work], verifier: str, jobs: int) -> Iterator[Judged]:
    context = multiprocessing.get_context("spawn")  # threads and a warm parser must not be forked
    todo = iter(left)
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin, initargs=(os.getpid(),)) as pool:
        running: set[Future[Judged]] = set()
        try:
            while True:
                while len(running) < jobs and (one := next(todo, None)) is not None:
                    running.add(pool.submit(judge, one, verifier))
                if not running:
                    return
                ended, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in ended)
        except KeyboardInterrupt:
            yield from (future.result() for future in wait(running).done)
            raise


def _begin(parent: int) -> None:
    """In a worker: Ctrl-C is its parent's, and it does not outlive that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def judge(work: Work, verifier: str) -> Judged:
    """One source through every stage up to the first rejection."""
    from policy_lake.errors import InfraError
    from tasks.host.settings import load_settings
    from tasks.verify import VerifyOptions, verify

    began = time.monotonic()
    failure = ""
    options = VerifyOptions(tier=work.tier, require=(work.need,) if work.need else ())
    with tempfile.TemporaryDirectory(prefix="policy-fuzz.") as name:
        path = Path(name) / "fuzz.bpf.c"
        path.write_text(work.source, encoding="utf-8")
        for _ in range(ATTEMPTS):
            try:
                verdict = verify(path, load_settings(), options=options).verdict
            except InfraError as error:
                failure = str(error)[:300] or type(error).__name__
                continue
            seconds = round(time.monotonic() - began, 2)
            if verdict.rejection is None:
                return Judged(work.digest, verifier, True, seconds=seconds)
            said = verdict.rejection
            return Judged(work.digest, verifier, False, said.stage, said.bug or "", said.reason[:400], "", seconds)
    return Judged(work.digest, verifier, False, infra=failure, seconds=round(time.monotonic() - began, 2))

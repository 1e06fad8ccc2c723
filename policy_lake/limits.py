# SPDX-License-Identifier: Apache-2.0
"""Every number that a user may give, with its limits: the command line, flows, settings and library code ask here.

A leaf that every package may import.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from policy_lake.errors import InputError

LONGEST = 10**30


@dataclass(frozen=True, slots=True)
class Limit:
    """A number from `low` to `high`, both included, and an integer unless `integer` is False; `why` is of `low`.

    `default` is what it is when nobody gives it; None where that depends on something else.
    """

    name: str
    low: float
    high: float
    unit: str = ""
    default: float | None = None
    why: str = ""
    integer: bool = True

    @property
    def span(self) -> str:
        """The limits for people: `4 to 70`."""
        return f"{self.low} to {self.high}"

    def check(self, value: float) -> None:
        """InputError, in one line, for what is not within the limits."""
        if isinstance(value, bool) or (self.integer and not isinstance(value, int)):
            raise InputError(f"{self.name}: {value!r:.60} is not a whole number")
        if isinstance(value, int) and not -LONGEST < value < LONGEST:  # too long to be written
            raise InputError(f"{self.name}: a number of that length is not from {self.span}")
        if not math.isfinite(value) or not self.low <= value <= self.high:
            unit = f" {self.unit}" if self.unit else ""
            why = f": {self.why}" if self.why and value < self.low else ""
            raise InputError(f"{self.name}: {value} is not from {self.span}{unit}{why}")

    def parse(self, text: str | int) -> int:
        """The whole number that a word of the command line stands for; InputError for any other word."""
        word = str(text).strip()
        if not re.fullmatch(r"[+-]?[0-9]{1,30}", word):
            raise InputError(f"{self.name}: '{word[:40]}' is not a whole number")
        self.check(int(word))
        return int(word)

    @property
    def preset(self) -> int:
        """The default as a whole number."""
        assert self.default is not None and self.integer
        return int(self.default)


# Below 4 pairs the anytime-valid interval (benchmarks/sequential.py) is 0 to infinity whatever was measured.
DECIDES_FROM = 4
FEW = f"with fewer than {DECIDES_FROM} pairs the anytime-valid interval is 0 to infinity, so nothing can win or lose"
# A guest takes 512 steps (verifier_vm/guest/init.c); a pair is four of them, and seven with a control.
A_GUEST = 70
# Pair n of seed s has the workload's seed 100 s + n: beyond 100 pairs two seeds would have runs in common.
PAIRS_A_SEED = 100
ROUNDS_OF_LOOKS = 3  # as many times the first pairs may be spent on a candidate that looks better and is not sure

ITERATIONS = Limit("iterations", 1, 50, default=2)
PER_ITERATION = Limit("per iteration", 1, 64, unit="candidates", default=3)
PAIRS = Limit("pairs", DECIDES_FROM, A_GUEST, default=5, why=FEW)
MOST_PAIRS = Limit("most pairs", DECIDES_FROM, PAIRS_A_SEED, why=FEW)
GUEST_PAIRS = Limit("pairs in a guest", 1, A_GUEST)
OBSERVE_S = Limit("duration", 1, 3600, unit="s", default=10)
PID = Limit("pid", 1, 1 << 22)  # PID_MAX_LIMIT of 64-bit kernels
PROBE_COST = Limit("max cost", 1, 100, unit="% of all CPUs", default=1)
# What a run may cost in all, 0 for no limit: runs of candidates, seconds in guests (of all at once), seconds in all.
MAX_RUNS = Limit("max runs", 0, 10**6, unit="runs", default=0)
MAX_GUEST_S = Limit("max guest seconds", 0, 10**7, unit="s", default=0)
MAX_SECONDS = Limit("max seconds", 0, 10**7, unit="s", default=0)
# A campaign's matrix. Each run is some kB in the lake, and a key to compute before the first guest starts.
CAMPAIGN_RUNS = Limit("campaign runs", 1, 10**6, unit="runs")
CAMPAIGN_BUDGET_RUNS = Limit("budget.runs", 0, 10**6, unit="runs", default=0)
CAMPAIGN_BUDGET_S = Limit("budget.seconds", 0, 10**7, unit="s", default=0)
CAMPAIGN_SEEDS = 10_000  # in one file
CAMPAIGN_SHOWN = 2000  # rows of the table in Prefect's database
# Exact in JSON and 64 bits wide after 100 s + n, with room for the fresh seeds of a confirmation.
SEED = Limit("seed", 0, 2**32 - 1, default=1)
UPTIME = Limit("uptime_s", 0, 10_000_000, unit="s", default=0)
REPORT_RUNS = Limit("runs", 1, 100_000, unit="runs", default=1000)
FOUND = Limit("limit", 1, 100, unit="policies", default=5)

MIN_COVERAGE = Limit("min_coverage", 0, 100, unit="% of branches", default=95)
CPUS = Limit("cpus", 1, 64)
LLCS = Limit("llcs", 1, 64, default=1)
SMT = Limit("smt", 1, 64, default=1)
NODES = Limit("nodes", 1, 64, default=1)
MEMORY_MIB = Limit("memory_mib", 128, 65536, unit="MiB", default=512)
FLEET_HOSTS = Limit("hosts", 1, 16, unit="hosts", default=3)
# Below this systemd and the agent find no room beside the kernel.
HOST_MEMORY_MIB = Limit("host memory_mib", 384, 65536, unit="MiB", default=1024)
SLOTS = Limit("microvm_slots", 0, 1024, unit="guests", default=0)
RECORD_BUFFER_MIB = Limit("record_buffer_mib", 1, 4096, unit="MiB", default=16)

MODEL_TOKENS = Limit("model_max_tokens", 1, 10**9, unit="tokens", default=200_000)
MODEL_COST_USD = Limit("model_max_cost_usd", 0, 10**6, unit="USD", default=1.0, integer=False)
MODEL_PRICE_USD = Limit("price per million tokens", 0, 10**6, unit="USD", default=0.0, integer=False)
MODEL_DAY_TOKENS = Limit("model_max_tokens_day", 0, 10**9, unit="tokens", default=0)
MODEL_DAY_USD = Limit("model_max_cost_usd_day", 0, 10**6, unit="USD", default=0.0, integer=False)
MODEL_ANSWER_TOKENS = Limit("model_answer_tokens", 256, 200_000, unit="tokens", default=8192)
MODEL_TEMPERATURE = Limit("model_temperature", 0, 2, integer=False)
MODEL_TIMEOUT_S = Limit("model_timeout_s", 0.001, 86_400, unit="s", default=120.0, integer=False)
DEADLINE_S = Limit("deadline", 0.001, 604_800, unit="s", integer=False)

# A workload's descriptor. Its numbers are the workload's program's, which sets limits of its own.
TIMEOUT_S = Limit("timeout_s", 0.1, DEADLINE_S.high, unit="s", integer=False)
RUN_S = Limit("runs_s", 0.001, DEADLINE_S.high, unit="s", integer=False)
WORK_NUMBER = Limit("number", 0, 10**12)
WORK_MEMORY_MIB = Limit("memory_mib", 1, MEMORY_MIB.high, unit="MiB")
GUARD_FACTOR = Limit("limit", 1, 1000, integer=False)
DESCRIPTOR_BYTES = 64 << 10
DESCRIPTOR_DOTS = 32  # in one line outside of quotes: what a dotted key costs grows with the square of its length
BINARY_BYTES = 64 << 20
WORDS = 64  # arguments, numbers of one table, guards: each
LONGEST_WORD = 4096  # characters of an argument or a path
LONGEST_LINE = 2000  # of a title or a goal
LONGEST_NAME = 64  # of a number, a metric, a unit

# A machine's descriptor. No CPU there is gets near the ends of these; beyond them a number is a slip of units.
MACHINE_PS = Limit("picoseconds an instruction", 20, 100_000, unit="ps")
MACHINE_SWITCH_NS = Limit("switch_ns", 0, 1_000_000, unit="ns")
MACHINE_L2_KIB = Limit("l2_kib", 16, 1 << 18, unit="KiB")
MACHINE_LLC_KIB = Limit("llc_kib", 64, 1 << 22, unit="KiB")
MACHINE_GBPS = Limit("GB/s", 0.1, 10_000, unit="GB/s", integer=False)
MACHINE_SPEED = Limit("share of full speed", 0.05, 1, integer=False)
MACHINE_IDLE_US = Limit("idle for", 0, 10_000_000, unit="us")
MACHINE_EXIT_NS = Limit("until it executes", 0, 10_000_000, unit="ns")
MACHINE_FOOTPRINT_KIB = Limit("working set", 0, 1 << 22, unit="KiB")
WORKLOAD_FOOTPRINT_KIB = Limit("working set", 1, 128 << 10, unit="KiB")  # what the no-op can tell
MACHINE_IDLE_STATES = 16
LEAST_SMT = 0.8  # of a core's speed alone, all its threads together: below, SMT would not have been built

# A recorded trace: the largest here, a whole kernel build of 11117 processes, has 268 kB and 77 thousand operations.
TRACE_BYTES = 16 << 20
TRACE_OPS = 1_000_000
TRACE_ROOM_BYTES = 256 << 20  # what reading it may take; 5 columns of 8 MiB, each twice, and Arrow's pages
TRACE_S = 20.0
TRACE_TASKS = 200_000  # what a guest bears
TRACE_CPUS = 8192  # the most that a Linux kernel for x86-64 is built for
TRACE_US = 86_400_000_000  # a day
PERF_BYTES = 8 << 30

# What a model answers. A reason is shown, kept and asked back; all else in an answer is a name or a value.
ANSWER_BYTES = 4 << 20  # of a body of HTTP
EMBEDDING_BYTES = 16 << 20  # the same, for the vectors of 64 texts
ANSWER_CHARACTERS, ANSWER_DEPTH = 64 << 10, 32  # of the text in it, which is to be JSON
ANSWER_PLANS = 64
ANSWER_VALUES = 64  # knobs of one plan
REASON_CHARACTERS = 600
PROMPT_CHARACTERS = 800  # of one text that a model is shown
PROMPT_PARAGRAPH = 4000  # of the profile in words
PROMPT_BYTES = (
    36_000  # of all that one call sends: below 16,000 tokens, of which C and JSON have 2.4 bytes each or more
)
CASSETTE_BYTES = 64 << 20  # of model calls in a file
LOG_CHARACTERS = 4000  # of a line of progress

# What programs in a guest print, and what the guest says of them.
OWNER_TEXT_BYTES = 1 << 20  # of what a load generator printed, or of a page
PATTERN_CHARACTERS, PATTERN_S = 200, 1.0  # of a pattern of the owner's, and CPU time for all lines of a text
OUTPUT_BYTES = 4 << 20  # verifier_vm/guest/run.c keeps 1 MiB of each stream
EVENT_BYTES = 16 << 20  # a line with two of them, each of their bytes escaped, and the kernel's log
EVENT_BRACKETS = 2 << 20  # an empty list takes 64 bytes where it took 3 in the line
TIMELINE_CPUS = 1024
DUMP_BYTES = 64 << 10  # verifier_vm/guest/dump.c keeps no more
KERNEL_LINE = 8192  # the kernel's own have 1 KiB; what is looked for in one takes time that grows with its square

SOURCE_CHARACTERS = 60_000  # of a policy that a model writes; the largest of the library has a third of it
LAKE_LINE_BYTES = 32 << 20  # a candidate has a whole source in it, a rejection a log
# A lake's rows from outside: some kB each, and read a group at a time.
EXCHANGE_BYTES, EXCHANGE_ROWS, EXCHANGE_GROUP_BYTES = 1 << 30, 2_000_000, 256 << 20


def most_pairs(pairs: int) -> int:
    """How many pairs a candidate may get at most that gets `pairs` at first: three times as many, within MOST_PAIRS."""
    return min(ROUNDS_OF_LOOKS * pairs, int(MOST_PAIRS.high))


def check_pairs(pairs: int, most: int = 0) -> None:
    """InputError for pairs that cannot be measured or can decide nothing; `most` 0 stands for no further pairs."""
    PAIRS.check(pairs)
    if most:
        MOST_PAIRS.check(most)
        if most < pairs:
            raise InputError(f"most pairs: {most} is less than the {pairs} pairs to measure at first")

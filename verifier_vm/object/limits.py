# SPDX-License-Identifier: Apache-2.0
"""How much of an object is looked at: a stranger's file must cost neither time nor memory without bound.

A limit of size makes a malformed object; a limit of the walk makes an `unknown` finding. All are counts, never clocks,
so that the same object gets the same answer on any machine.
"""

from __future__ import annotations

FILE_BYTES = 16 << 20  # our objects have some 70 KB, one with DWARF about 1 MB
BSS_BYTES = 128 << 20  # of globals that are 0: a guest has 512 MiB, and libbpf fills a map from a copy
SECTIONS = 2048
SYMBOLS = 50_000
RELOCATIONS = 100_000
BTF_TYPES = 30_000  # ours have 700
BTF_DEPTH = 32  # of typedefs, qualifiers and structs within structs
STRUCT_MEMBERS = 20_000  # looked through in one object
LINES = 50_000
CORE_RELOCATIONS = 30_000
INSTRUCTIONS = 30_000  # ljf, the largest of our library, has 700
FUNCTIONS = 1_000
OPS_TABLES = 8
NAME_BYTES = 512

STEPS_PER_ENTRY = 12_000  # instructions walked for one callback, over all its paths
STEPS = 20_000  # for a whole object: about half a second; ljf takes 1,500
STEPS_AGAIN = 40_000  # in walks of dispatch that ask what hangs on each of its conditions
ENTRIES = 128  # callbacks, timers and the like that are walked
ROUNDS = 150_000  # instructions looked at to find what is read later on
PLACES = 500  # places of memory that are told apart there
FRAMES = 8  # the kernel's own limit of calls within calls
VISITS = 12  # states of one place that are told apart before what is known of memory and branches is dropped
WIDEN_VISITS = 48  # and before numbers that still change are dropped
COUNTED_VISITS = 400  # the same where it is counted what dispatch inserts
EVENTS = 4_000  # calls and writes recorded in one object
CONDITIONS = 400  # comparisons of time, numbers, levels and names, each, that are kept
TESTS = 8  # comparisons at one place
COUNTS, TURNS = 8, 4  # of a policy's own, and moments at which one of them decides anew
FORMULA, FORMULA_DEPTH = 64, 40  # parts of one that is computed
NAME_PARTS = 1000  # of a formula that is looked through for a name's bytes
HELD = 160  # places of memory and stack, and outcomes of branches, that one path knows
EXPRESSION_DEPTH = 10
LEAVES = 32  # that one expression keeps
TABLE = 100_000  # values of one analysis
FINDINGS = 64

# SPDX-License-Identifier: Apache-2.0
"""Every limit of what an MCP client may send, and of what it is sent: in one place, each with a test at its edge."""

from __future__ import annotations

from policy_lake.limits import ANSWER_VALUES, CPUS, LONGEST_WORD, Limit

# In.
MESSAGE_BYTES = 4 << 20  # one message, on stdin as over HTTP
SOURCE_CHARACTERS = 256 << 10  # of a policy; our largest has 10,000
QUERY_CHARACTERS = 400
KNOBS = ANSWER_VALUES  # of one policy
KNOB_ITEMS = 64  # of a list
KNOB_CHARACTERS = LONGEST_WORD  # of a text
CHECKS_AT_ONCE = 4  # one is at work, the others wait
CHECK_S = 60.0  # of the wall; most take one or two, an object with many paths half a minute of CPU
ROWS = Limit("limit", 1, 50, unit="rows", default=10)
WAIT_S = Limit("wait_s", 0, 60, unit="s", default=0)
CPUS_ASKED = Limit("cpus", 0, CPUS.high, unit="CPUs", default=0)

# Out.
TEXT_CHARACTERS = 1000  # of one text of somebody else's
LOG_CHARACTERS = 8000  # the same, of what a kernel or a run said
GUIDE_CHARACTERS = 64_000
ERROR_CHARACTERS = 1000
FINDINGS = 20  # of one stage, those that reject before the others
SITUATIONS = 4  # of one finding
COMMANDS = 30  # of a profile, those with most CPU time
CANDIDATES = 60  # of a run, the best before the others
WARNINGS = 10
PROGRESS_LINES = 12  # the latest
ANSWER_BYTES = 1 << 20  # a whole answer's JSON, whatever the others come to; it says everything twice

# Jobs.
WAITING_JOBS = 8  # behind the one that runs
KEPT_JOBS = 32  # that have ended
POLL_MS = 2000
ENDING_S = 15.0  # what a job may take to end what it started
RESULT_BYTES = ANSWER_BYTES // 4  # one line of a job's process

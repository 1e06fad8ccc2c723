# SPDX-License-Identifier: Apache-2.0
"""Our sched_ext header, the library of policies, probes, and the compiler call."""

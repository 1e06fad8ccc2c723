# SPDX-License-Identifier: Apache-2.0
"""From a guest's events to a verdict: the suite's situations, the oracles, the stages."""

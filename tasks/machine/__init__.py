# SPDX-License-Identifier: Apache-2.0
"""This host measured as a machine: the experiments, what they show, and whether it is to be trusted."""

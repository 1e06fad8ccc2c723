# SPDX-License-Identifier: Apache-2.0
"""The metric that a workload's owner cares about, from what a load generator, a program or a page says."""

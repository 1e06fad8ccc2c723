# SPDX-License-Identifier: Apache-2.0
"""Long-lived micro-VMs that stand in for hosts: built, started, reached, told of, ended."""

# SPDX-License-Identifier: Apache-2.0
"""Which of a policy's own code the suite executed, line by line and branch by branch."""

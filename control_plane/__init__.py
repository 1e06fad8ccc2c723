# SPDX-License-Identifier: Apache-2.0
"""The ways in: the command line."""

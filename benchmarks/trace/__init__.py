# SPDX-License-Identifier: Apache-2.0
"""Traces of real commands: recorded events, their tasks, files, pieces, and programs that replay them."""

# SPDX-License-Identifier: Apache-2.0
"""The stage `source`: what a policy's C says by itself, read by a real parser in a process that may crash."""

# SPDX-License-Identifier: Apache-2.0
"""The micro-VM, its guest, the gate that judges a candidate, and tokens."""

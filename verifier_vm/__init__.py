# SPDX-License-Identifier: Apache-2.0
"""The micro-VM, its guest, the gate that verifies an object, and tokens."""

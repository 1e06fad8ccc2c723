# SPDX-License-Identifier: Apache-2.0
"""The parts of a composed policy's C: what each choice adds to it, and how it is laid out."""

# SPDX-License-Identifier: Apache-2.0
"""The one exception of this package: the object is not what it claims to be."""

from __future__ import annotations


class ObjectError(Exception):
    """A malformed or unsupported object, told in one line; never leaves `analyse_object`. `bug` is a finding's word:
    "elf" for what is no whole object for BPF at all, "size" for one that is too large.
    """

    def __init__(self, message: str, bug: str = "elf") -> None:
        super().__init__(message)
        self.bug = bug

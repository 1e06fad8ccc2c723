# SPDX-License-Identifier: Apache-2.0
"""One family of bugs per module. All are heuristics, so what they find is a suspicion, which directs the guest.

Only what would harm the host that looks rejects here: files taken in from elsewhere, and assembler, which can, too.
"""

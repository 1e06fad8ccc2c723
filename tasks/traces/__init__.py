# SPDX-License-Identifier: Apache-2.0
"""Commands of this host recorded, and replayed in a guest."""

# SPDX-License-Identifier: Apache-2.0
"""One family of bugs per module; each yields what it is sure of, and what it cannot settle as unknown."""

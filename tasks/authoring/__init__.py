# SPDX-License-Identifier: Apache-2.0
"""What a model answers made into policies, and checked before any guest is started."""

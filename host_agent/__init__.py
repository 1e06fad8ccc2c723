# SPDX-License-Identifier: Apache-2.0
"""What runs on a host: the agent that admits a verified policy, watches it, and takes it off."""

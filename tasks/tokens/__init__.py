# SPDX-License-Identifier: Apache-2.0
"""Tokens: issued by the signer, shown, checked, revoked."""

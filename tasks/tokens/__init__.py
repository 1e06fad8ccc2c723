# SPDX-License-Identifier: Apache-2.0
"""Tokens had from the signer, shown, checked, revoked."""

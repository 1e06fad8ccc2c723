# SPDX-License-Identifier: Apache-2.0
"""One Prefect flow per agent stage, and the flow that composes them."""

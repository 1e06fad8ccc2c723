# SPDX-License-Identifier: Apache-2.0
"""Who does the work: Ray, the Prefect server, retries, artifacts."""

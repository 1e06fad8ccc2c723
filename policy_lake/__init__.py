# SPDX-License-Identifier: Apache-2.0
"""The vocabulary (model.py) and the LanceDB store of policies, candidates, scores and failures."""

# SPDX-License-Identifier: Apache-2.0
"""`schedcp mcp`: SchedCP's tools for agents by the Model Context Protocol. It signs nothing and attaches nothing."""

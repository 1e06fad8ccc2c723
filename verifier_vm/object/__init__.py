# SPDX-License-Identifier: Apache-2.0
"""What a compiled policy is seen to do without running it: ELF, BTF, BPF instructions, a walk of every callback."""

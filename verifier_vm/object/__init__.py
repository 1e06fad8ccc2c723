# SPDX-License-Identifier: Apache-2.0
"""What a compiled policy is seen to do without running it: ELF, BTF, a BPF decoder, a bounded walk of every callback."""

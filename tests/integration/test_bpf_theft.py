# SPDX-License-Identifier: Apache-2.0
"""What a policy's source cannot have of this host by way of the compiler: no word of a file that it was not given."""

from __future__ import annotations

import os

import pytest
from bpf_cases import compile_here

from bpf import launch
from policy_lake.errors import BuildError

SECRET = "struct secret_word { int kept; };\n"


@pytest.fixture
def secret(tmp_path):
    """A file outside of every include directory, and an include directory with links to it."""
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "secret.h").write_text(SECRET * 9)
    beside = tmp_path / "beside"
    beside.mkdir()
    (beside / "link.h").symlink_to(tmp_path / "away" / "secret.h")
    (beside / "linked").symlink_to(tmp_path / "away")
    (beside / "key").write_text(SECRET)  # beside the source, but no header
    return tmp_path / "away" / "secret.h"


THEFTS = {
    "absolute": '#include "{secret}"',
    "upwards": '#include "../away/secret.h"',
    "upwards from the system's": "#include <../..{secret}>",
    "a link": '#include "link.h"',
    "a linked directory": '#include "linked/secret.h"',
    "beside the source, no header": '#include "key"',
    "incbin": '__asm__(".incbin \\"{secret}\\"");',
    "incbin in pieces": '__asm__(".inc" "bin \\"{secret}\\"");',
    "the assembler's include": '__asm__(".include \\"{secret}\\"");',
    "embed": "const char x[] = {{\n#embed \"{secret}\"\n}};",
    "standard input": '#include "/dev/stdin"\n#include "/proc/self/fd/0"',
}  # fmt: skip


@pytest.mark.skipif(not launch.can_confine(), reason="this kernel has no Landlock")
@pytest.mark.parametrize("theft", THEFTS.values(), ids=THEFTS)
def test_no_file_from_elsewhere_comes_into_diagnostics_or_object(theft, secret, vmlinux_dir):
    source = theft.format(secret=secret) + "\nint x;\n"
    with pytest.raises(BuildError) as caught:
        compile_here(source, vmlinux_dir, source_dir=secret.parents[1] / "beside")
    printed = f"{caught.value} {caught.value.diagnostics}"
    assert "secret_word" not in printed and "error: " in printed


@pytest.mark.skipif(not launch.can_confine(), reason="this kernel has no Landlock")
@pytest.mark.parametrize("theft", ["a link", "a linked directory"])
def test_beside_a_fifo_a_link_leads_no_further(theft, secret, vmlinux_dir):
    """Then what lies in the directory is allowed one by one, and a link would be what it points to."""
    beside = secret.parents[1] / "beside"
    os.mkfifo(beside / "pipe.h")
    (beside / "loop.h").symlink_to("loop.h")
    (beside / "real.h").write_text("typedef int real_t;\n")
    (beside / "alias.h").symlink_to("real.h")
    with pytest.raises(BuildError) as caught:
        compile_here(THEFTS[theft] + "\nint x;\n", vmlinux_dir, include_dirs=(beside,))
    assert "secret_word" not in f"{caught.value} {caught.value.diagnostics}"
    assert compile_here('#include "alias.h"\nreal_t x;\n', vmlinux_dir, include_dirs=(beside,)).data


def test_a_line_of_another_file_does_not_come_into_the_btf(secret, vmlinux_dir):
    source = f'#line 1 "{secret}"\n__attribute__((section("a"))) int f(int x) {{ return x + 1; }}\n'
    assert b"secret_word" not in compile_here(source, vmlinux_dir).data


def test_whether_a_file_exists_cannot_be_asked(secret, vmlinux_dir):
    asked = "#if __has_include({!r})\nint there;\n#endif\nint x;\n"
    names = (str(secret), "/etc/passwd", "../away/secret.h", "/nowhere")
    made = {compile_here(asked.format(name).replace("'", '"'), vmlinux_dir).sha256 for name in names}
    assert len(made) == 1


def test_without_landlock_the_assembler_is_refused_and_the_object_says_so(vmlinux_dir, secret, monkeypatch):
    monkeypatch.setattr(launch.confine, "landlock_abi", lambda: 0)
    launch.can_confine.cache_clear()
    try:
        assert not compile_here("int x;\n", vmlinux_dir).confined
        for theft in (f'__asm__(".incbin \\"{secret}\\"");', f'#include "{secret}"'):
            with pytest.raises(BuildError) as caught:
                compile_here(theft, vmlinux_dir)
            assert "secret_word" not in caught.value.diagnostics
    finally:
        launch.can_confine.cache_clear()

# SPDX-License-Identifier: Apache-2.0
"""The compiler call, without a kernel to load into: what compiles, what does not, and what the words are."""

import os
import subprocess
from pathlib import Path

import pytest

from bpf import build, headers, toolchain
from bpf.build import compile_policy
from bpf.library import policies
from policy_lake.model import BuildError, InfraError, InputError

PLANTED = Path(__file__).parents[1] / "policies"


@pytest.fixture(scope="session")
def vmlinux_dir():
    """The newest vmlinux.h that a set-up has made."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "schedcp"
    found = sorted(cache.glob("kernel*/**/vmlinux.h"), key=lambda path: path.stat().st_mtime)
    if not found:
        if os.environ.get("REQUIRE_VM") == "1":
            pytest.fail("no vmlinux.h in the cache: run `make setup`")
        pytest.skip("no vmlinux.h in the cache: run `make setup`")
    return found[-1].parent


def compile_here(source, vmlinux_dir, **options):
    return compile_policy(source, name="mine.bpf.c", vmlinux_dir=vmlinux_dir, **options)


def sections(data):
    done = subprocess.run(["llvm-readelf-19", "-SW", "-"], input=data, capture_output=True, check=True)
    return done.stdout.decode()


@pytest.mark.parametrize("policy", policies(), ids=lambda policy: policy.id)
def test_the_library_compiles_without_a_warning(policy, vmlinux_dir, monkeypatch):
    monkeypatch.setattr(headers, "CFLAGS", (*headers.CFLAGS, "-Wextra", "-Wno-unused-parameter", "-Werror"))
    made = compile_here(policy.source, vmlinux_dir)
    assert made.data[:4] == b"\x7fELF" and len(made.sha256) == 64
    told = sections(made.data)
    assert ".struct_ops.link" in told and ".BTF" in told and ".debug_info" not in told


def test_the_same_source_gives_the_same_bytes_from_anywhere(vmlinux_dir, tmp_path):
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "my.h").write_text("static inline int one(void) { return 1; }\n")
    source = '#include "my.h"\nint x;\nint f(void) { return x + one(); }\n'
    made = [compile_here(source, vmlinux_dir, source_dir=tmp_path / place) for place in ("a", "b")]
    assert made[0].sha256 == made[1].sha256
    assert str(tmp_path).encode() not in made[0].data and str(vmlinux_dir).encode() not in made[0].data


def test_a_policy_in_the_plain_style_compiles(vmlinux_dir):
    source = (PLANTED / "plain_fifo.bpf.c").read_text()
    assert "sx" not in source.replace("scx", "")
    assert compile_here(source, vmlinux_dir).data


def test_headers_of_others_are_found_where_they_are_said_to_be(vmlinux_dir, tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "common.bpf.h").write_text("#define THEIRS 1\n")
    source = "#include <theirs/common.bpf.h>\nint x = THEIRS;\n"
    with pytest.raises(BuildError, match=r"'theirs/common\.bpf\.h' file not found"):
        compile_here(source, vmlinux_dir)
    assert compile_here(source, vmlinux_dir, include_dirs=[tmp_path]).data


def test_an_error_names_file_and_line_and_keeps_the_compilers_words(vmlinux_dir):
    with pytest.raises(BuildError, match=r"'mine.bpf.c' does not compile: mine.bpf.c:3:9: error: ") as caught:
        compile_here("\n\nint x = nowhere;\n", vmlinux_dir)
    assert "int x = nowhere;" in caught.value.diagnostics and "^" in caught.value.diagnostics


def test_truncated_enums_are_found_at_compile_time(tmp_path):
    (tmp_path / "vmlinux.h").write_text("enum x { SCX_DSQ_FLAG_BUILTIN = 0, SCX_SLICE_INF = 0 };\n")
    with pytest.raises(BuildError) as caught:
        compile_policy('#include "sx/sx.h"\n', name="mine.bpf.c", vmlinux_dir=tmp_path)
    assert "truncated 64-bit enums" in caught.value.diagnostics


def test_a_source_that_keeps_the_compiler_busy_is_refused(vmlinux_dir, monkeypatch):
    monkeypatch.setattr(build, "CPU_LIMIT_S", 1)
    rows = "\n".join(f"#define X{i} X{i - 1} X{i - 1} X{i - 1} X{i - 1}" for i in range(1, 20))
    with pytest.raises(BuildError, match="keeps it busy for more than 1 s"):
        compile_here(f"#define X0 int f(int);\n{rows}\nX19\n", vmlinux_dir)


def test_a_compiler_that_does_not_end_in_time_is_our_failure(vmlinux_dir):
    with pytest.raises(InfraError, match=r"clang did not end within 0.01 s on 'mine.bpf.c'"):
        compile_here('#include "sx/sx.h"\n', vmlinux_dir, timeout_s=0.01)


def test_a_missing_compiler_is_told_with_the_mending_command(monkeypatch, tmp_path):
    toolchain.find_toolchain.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    try:
        with pytest.raises(InfraError, match=r"clang 19 or newer .* is not installed: run `make setup`"):
            toolchain.find_toolchain()
    finally:
        toolchain.find_toolchain.cache_clear()


def test_a_missing_vmlinux_h_is_told(tmp_path):
    with pytest.raises(InputError, match=r"no vmlinux.h in '"):
        compile_here("int x;\n", tmp_path)


def test_the_one_that_does_not_compile_fails_as_it_says(vmlinux_dir):
    path = PLANTED / "syntax_fails.bpf.c"
    source = path.read_text()
    with pytest.raises(BuildError) as caught:
        compile_policy(source, name=path.name, vmlinux_dir=vmlinux_dir)
    assert source.splitlines()[0].split(": ", 2)[2] in str(caught.value)

# SPDX-License-Identifier: Apache-2.0
"""The compiler call, without a kernel to load into: what compiles, what does not, and what the words are."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bpf_cases import compile_here

from bpf import build, headers, toolchain
from bpf.build import compile_policy
from bpf.library import policies
from policy_lake.errors import BuildError, InfraError, InputError

PLANTED = Path(__file__).parents[1] / "policies"


def sections(data):
    done = subprocess.run(["llvm-readelf-19", "-SW", "-"], input=data, capture_output=True, check=True)
    return done.stdout.decode()


@pytest.mark.parametrize("policy", policies(), ids=lambda policy: policy.id)
def test_the_library_compiles_without_a_warning(policy, vmlinux_dir, monkeypatch):
    monkeypatch.setattr(headers, "CFLAGS", (*headers.CFLAGS, "-Wextra", "-Wno-unused-parameter", "-Werror"))
    made = compile_here(policy.source, vmlinux_dir)
    assert made.data[:4] == b"\x7fELF" and len(made.sha256) == 64
    printed = sections(made.data)
    assert ".struct_ops.link" in printed and ".BTF" in printed and ".debug_info" not in printed


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


@pytest.mark.parametrize(
    ("first", "then", "error"),
    [(-24, -6, BuildError), (-6, -24, BuildError), (-24, -7, InfraError), (-24, -9, InfraError), (-9, -24, InfraError)],
)
def test_a_source_that_has_the_compiler_at_its_limit_in_two_ways_is_to_blame_and_a_kill_is_not(
    first, then, error, vmlinux_dir, monkeypatch
):
    ends = iter((first, then))
    monkeypatch.setattr(build, "_compile", lambda *_: subprocess.CompletedProcess([], next(ends), b"", b""))
    with pytest.raises(error):
        compile_here("int x;\n", vmlinux_dir)


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


def test_the_directory_one_stands_in_changes_nothing(vmlinux_dir, tmp_path, monkeypatch):
    source = '__attribute__((section("a"))) int f(int x) { return x + 1; }\n'
    (tmp_path / "mine.bpf.c").write_text("not what was compiled\n")
    before = compile_here(source, vmlinux_dir)
    monkeypatch.chdir(tmp_path)
    assert compile_here(source, vmlinux_dir).data == before.data and b"not what was" not in before.data


BOMBS = {
    "parentheses": "int x = " + "(" * 50_000 + "1" + ")" * 50_000 + ";",
    "sum": "int x = " + "1+" * 100_000 + "1;",
    "ifs": "void f(int a) {" + "if (a) " * 50_000 + ";}",
    "blocks": "void f(void) " + "{" * 50_000 + "}" * 50_000,
    "array": "char x[1u << 30] = {1};",
    "elements": "int x[] = {[0 ... 100000000] = 1};",
    "itself": '#include "loop.h"',
    "doubling": '#include "b0.h"',
    "NUL": "int x;\n\0int y;",
    "large": "/*" + "x" * (5 << 20) + "*/",
    "cut off": "#include \"sx/sx.h\"\nvoid SX_OP(a, struct task_struct *p, u64 f) { if (",
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_sources_made_to_harm_the_compiler_are_refused(bomb, vmlinux_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "CPU_LIMIT_S", 2)
    (tmp_path / "loop.h").write_text('#include "loop.h"\n')
    for level in range(30):
        twice = f'#include "b{level + 1}.h"\n' * 2
        (tmp_path / f"b{level}.h").write_text(twice)
    (tmp_path / "b30.h").write_text("int f(int);\n")
    with pytest.raises(BuildError):
        compile_here(bomb, vmlinux_dir, source_dir=tmp_path)


def test_one_line_of_a_megabyte_is_no_harm(vmlinux_dir):
    assert compile_here("int x; " + " " * (1 << 20) + "int y;\n", vmlinux_dir).data


@pytest.mark.parametrize(
    ("source", "first"),
    [
        ('/* a */ // b\n#include "sx/sx.h"\n', "sx/sx.h"),
        ('#include "vmlinux.h"\nint x;', "vmlinux.h"),
        ("#include <vmlinux.h>", "vmlinux.h"),
        ('#define BPF_NO_KFUNC_PROTOTYPES\n#include "vmlinux.h"\n', None),
        ('int x;\n#include "vmlinux.h"\n', None),
        ('// a \\\n#include "vmlinux.h"\n', None),
        ('/* #include "vmlinux.h"', None),
        ("", None),
    ],
)
def test_only_what_opens_with_a_header_of_ours_gets_it_precompiled(source, first, vmlinux_dir, tmp_path):
    assert headers.first_include(source) == first
    flags = build.front_end_flags(source, vmlinux_dir=vmlinux_dir)
    assert ("-include-pch" in flags) == (first is not None)
    assert "-include-pch" not in build.front_end_flags(source, vmlinux_dir=vmlinux_dir, include_dirs=[tmp_path])
    (tmp_path / "vmlinux.h").write_text("typedef int u32;\n")
    assert "-include-pch" not in build.front_end_flags(source, vmlinux_dir=vmlinux_dir, source_dir=tmp_path)


@pytest.mark.parametrize("damage", ["cut", "byte", "gone", "note"])
def test_a_spoilt_precompiled_header_is_made_again(damage, vmlinux_dir, tmp_path):
    source = '#include "sx/sx.h"\nint f(struct task_struct *p) { return p->pid; }\n'
    flags = headers.Headers(vmlinux_dir, cache_dir=tmp_path).flags(source, toolchain.find_toolchain())
    made = compile_here(source, vmlinux_dir, cache_dir=tmp_path)
    path = Path(flags[flags.index("-include-pch") + 1])
    data, stat = path.read_bytes(), path.stat()
    if damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "byte":  # of the same size and time, as a disk would do it
        path.write_bytes(bytes(4096) + data[4096:])
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    elif damage == "gone":
        path.unlink()
    else:
        (path.parent / "noted.json").write_text("{")
    assert compile_here(source, vmlinux_dir, cache_dir=tmp_path).sha256 == made.sha256
    assert path.read_bytes()[:4096] == data[:4096] and path.stat().st_size == stat.st_size


def test_a_cache_that_cannot_be_written_is_no_obstacle(vmlinux_dir, tmp_path):
    (tmp_path / "file").write_text("")
    source = '#include "vmlinux.h"\nint f(struct task_struct *p) { return p->pid; }\n'
    made = compile_here(source, vmlinux_dir, cache_dir=tmp_path / "file")
    assert made.sha256 == compile_here(source, vmlinux_dir).sha256


def test_a_policy_has_the_same_bytes_from_another_tree_and_cache(vmlinux_dir, tmp_path):
    tree = tmp_path / "another" / "much" / "longer" / "name"
    for package in ("bpf", "policy_lake", "verifier_vm"):
        shutil.copytree(build.__spec__.origin.rpartition("/bpf/")[0] + f"/{package}", tree / package)
    kernel = tmp_path / "k"
    kernel.mkdir()
    shutil.copy(vmlinux_dir / "vmlinux.h", kernel)
    code = (
        "import sys; from pathlib import Path; from bpf.build import compile_policy; from bpf.library import policies\n"
        "for p in policies(): print(compile_policy(p.source, name=p.id, vmlinux_dir=Path(sys.argv[1])).sha256)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(kernel)], cwd=tree, capture_output=True, text=True, check=True
    )
    here = [compile_policy(p.source, name=p.id, vmlinux_dir=vmlinux_dir).sha256 for p in policies()]
    assert done.stdout.split() == here

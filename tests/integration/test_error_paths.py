# SPDX-License-Identifier: Apache-2.0
"""Which ways of conditions on what the policy's own functions return are error paths."""

from __future__ import annotations

import subprocess

import pytest

from bpf.toolchain import find_toolchain
from verifier_vm.coverage.conditions import read_conditions

SOURCE = """
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name
#define SEC(name) __attribute__((section(name), used))
#define NOINLINE static __attribute__((noinline))
struct sched_ext_ops { void (*enqueue)(void); char name[128]; };
char _license[] SEC("license") = "GPL";
struct { __uint(type, 2); __uint(max_entries, 4); __type(key, int); __type(value, long); } cells SEC(".maps");
struct { __uint(type, 1); __uint(max_entries, 4); __type(key, int); __type(value, long); } table SEC(".maps");
static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *) 1;
extern void scx_bpf_error_bstr(char *format, void *data, unsigned int size) __attribute__((section(".ksyms")));
extern int random_number(void) __attribute__((section(".ksyms")));
volatile long total;
static void fail(void) { scx_bpf_error_bstr("no", 0, 0); }
%s
SEC("struct_ops/e") int e(void *ctx)
{
	int key = random_number();
	long *found = look(key);
	if (!found) return 0; /* here */
	total += *found;
	return 0;
}
SEC(".struct_ops.link") struct sched_ext_ops ops = { .enqueue = (void *)e, .name = "x" };
"""
CELL = "NOINLINE long *cell(int key) { return bpf_map_lookup_elem(&cells, &key); }\n"
FAILS = {
    "an element of an array": "NOINLINE long *look(int key) { return bpf_map_lookup_elem(&cells, &key); }",
    "null after an error": """NOINLINE long *look(int key)
        { long *at = bpf_map_lookup_elem(&table, &key); if (!at) { fail(); return 0; } return at + 1; }""",
    "null after a failure": """NOINLINE long *look(int key)
        { long *at = bpf_map_lookup_elem(&cells, &key); if (!at) return 0; total++; return at; }""",
    "what another function returns": CELL + """NOINLINE long *look(int key)
        { long *at = cell(key); if (!at) { total++; return 0; } return at; }""",
}  # fmt: skip
COUNTS = {
    "a key of a hash": "NOINLINE long *look(int key) { return bpf_map_lookup_elem(&table, &key); }",
    "null for an odd number": """NOINLINE long *look(int key)
        { if (key & 1) return 0; return bpf_map_lookup_elem(&cells, &key); }""",
    "an error elsewhere": """NOINLINE long *look(int key)
        { if (random_number() & 1) fail(); return bpf_map_lookup_elem(&table, &key); }""",
    "one of two": CELL + """NOINLINE long *look(int key)
        { long *at = cell(key); if (!at) at = bpf_map_lookup_elem(&table, &key); return at; }""",
}  # fmt: skip


@pytest.fixture
def error_ways(tmp_path):
    """Of the condition on what `look` returns, the ways that are error paths."""

    def read(look):
        source, object_file = tmp_path / "x.bpf.c", tmp_path / "x.o"
        source.write_text(SOURCE % look)
        clang = find_toolchain().clang
        words = [str(clang), "--target=bpf", "-g", "-O2", "-w", "-c", source.name, "-o", object_file.name]
        subprocess.run(words, check=True, cwd=tmp_path)
        (line,) = [number for number, text in enumerate(source.read_text().splitlines(), 1) if "/* here */" in text]
        found = read_conditions(object_file.read_bytes())
        return [found.error[condition] for condition in found.known if condition[0][1] == line]

    return read


@pytest.mark.parametrize("look", FAILS)
def test_what_is_null_by_failure_alone_is_an_error_path(error_ways, look):
    (ways,) = error_ways(FAILS[look])
    assert len(ways) == 1


@pytest.mark.parametrize("look", COUNTS)
def test_what_may_be_null_otherwise_counts(error_ways, look):
    (ways,) = error_ways(COUNTS[look])
    assert not ways

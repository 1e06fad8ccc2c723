# SPDX-License-Identifier: Apache-2.0
"""Policies that nobody here wrote, before a guest: upstream's compiler call, branches for editors, several objects."""

from __future__ import annotations

from pathlib import Path

import pytest
from corpus import POLICIES
from skipping import skip_or_fail

from bpf.build import compile_policy
from bpf.link import link_objects
from policy_lake.errors import BuildError, InputError, SchedcpError
from policy_lake.knobs import ops_values
from tasks.host.settings import load_settings
from tasks.trial.given import policy_of
from tasks.trial.parts import Part, read_linked, read_part
from tasks.trial.static import check_parts
from tasks.trial.words import words_for
from verifier_vm.machine.kernel import installed_kernel
from verifier_vm.object.analyse import asks_for_config

GOOD = POLICIES / "good"
GLOBAL = GOOD / "plain_global.bpf.c"
OPENING = '#include "vmlinux.h"\n'
FAR = '#include "../../../../include/scx/common.bpf.h"\n'
# What callers call: a part of a policy in another file, and what it is called with.
CALLER = """#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
char _license[] SEC("license") = "GPL";
u64 slice_for(u32 weight);
SEC("struct_ops/two_enqueue")
void BPF_PROG(two_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, slice_for(p->scx.weight), enq_flags);
}
SEC(".struct_ops.link")
struct sched_ext_ops two = { .enqueue = (void *)two_enqueue, .timeout_ms = 5000, .name = "two" };
"""
CALLEE = """#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
char _license[] SEC("license") = "GPL";
const volatile u64 base_ns = 3000000;
__attribute__((noinline)) u64 slice_for(u32 weight) { return base_ns + weight; }
"""


@pytest.fixture(scope="module")
def kernel():
    try:
        return installed_kernel(load_settings().cache_dir)
    except SchedcpError as error:
        skip_or_fail(f"no kernel was set up: {error}")


def stage(checked, name):
    return next(stage for stage in checked.stages if stage.name == name)


def checked(kernel, *parts, **options):
    return check_parts(parts, kernel, check_all=True, **options)


@pytest.mark.parametrize("header", ["errno.h", "asm-generic/errno.h", "bits/wordsize.h", "features.h", "asm/errno.h",
                                    "limits.h"])  # fmt: skip
@pytest.mark.parametrize("first", ["vmlinux.h", "sx/sx.h"])
def test_headers_of_the_hosts_architecture_are_found(kernel, header, first):
    source = f'#include "{first}"\n#include <{header}>\nint x = __CHAR_BIT__;\n'
    assert compile_policy(source, name="a.bpf.c", vmlinux_dir=kernel.headers).data


def test_a_struct_that_is_a_member_by_its_tag_alone_is_taken(kernel):
    source = (
        f"{OPENING}struct outer {{ struct list_head; int x; }};\nint f(struct outer *o) {{ return o->next != 0; }}\n"
    )
    assert compile_policy(source, name="a.bpf.c", vmlinux_dir=kernel.headers).data


@pytest.mark.parametrize(
    "opening",
    [
        f"#ifdef LSP\n{FAR}#endif\n{OPENING}",
        f"#if 0\n{FAR}#endif\n{OPENING}",
        f"#ifndef LSP\n{OPENING}#else\n{FAR}#endif\n",
        f"{OPENING}#if defined(__cplusplus)\n#include \"/usr/include/x.h\"\n#endif\n",
        f"{OPENING}#ifdef LSP\n# ifdef __bpf__\n{FAR}# endif\n#endif\n",
    ],
)  # fmt: skip
def test_an_include_that_is_never_compiled_is_not_asked_for(kernel, opening):
    source = GLOBAL.read_text().replace(OPENING, opening)
    assert stage(checked(kernel, Part("a.bpf.c", source)), "source").ok


@pytest.mark.parametrize(
    ("opening", "line"),
    [
        (f"#ifdef __bpf__\n{FAR}#endif\n{OPENING}", 4),
        (f"#ifdef LSP\n#else\n{FAR}#endif\n{OPENING}", 5),
        (f"#if 0\n#elif 1\n{FAR}#endif\n{OPENING}", 5),
        (f"#line 9\n#ifdef LSP\n#endif\n{FAR}{OPENING}", 6),
    ],
)
def test_an_include_that_is_compiled_still_may_not_lead_out(kernel, opening, line):
    source = GLOBAL.read_text().replace(OPENING, opening)
    found = [f for f in stage(checked(kernel, Part("a.bpf.c", source)), "source").findings if f.bug == "include"]
    assert [(finding.level, finding.place) for finding in found] == [("reject", f"a.bpf.c:{line}")]


def test_a_directory_of_headers_may_be_named_from_where_the_caller_is(kernel, tmp_path, monkeypatch):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "own.h").write_text("#define OWN 1\n")
    monkeypatch.chdir(tmp_path)
    source = "#include <own.h>\nint x = OWN;\n"
    assert compile_policy(source, name="a", vmlinux_dir=kernel.headers, include_dirs=[Path("theirs")]).data
    told = r"'own.h' file not found; give the directory that it is found from with -I"
    with pytest.raises(BuildError, match=told) as refused:
        compile_policy(source, name="a", vmlinux_dir=kernel.headers)
    assert refused.value.missing == "own.h"
    with pytest.raises(BuildError) as refused:
        compile_policy("int x = ;\n", name="a", vmlinux_dir=kernel.headers)
    assert not refused.value.missing


@pytest.mark.parametrize("name", ["mirror_global", "mirror_own_queue", "mirror_narrow", "mirror_compared"])
def test_constants_that_mirror_enumerators_are_what_the_kernel_says(kernel, name):
    text = (GOOD / f"{name}.bpf.c").read_text()
    assert stage(checked(kernel, Part(f"{name}.bpf.c", text)), "object").ok
    # The source stage sees through the variable, too: a slice without end is one, whatever it is called.
    endless = 'const volatile u64 __SCX_SLICE_INF __attribute__((weak));\nSEC("struct_ops/'
    text = GLOBAL.read_text().replace('SEC("struct_ops/', endless, 1).replace("3000000", "__SCX_SLICE_INF")
    made = checked(kernel, Part("a.bpf.c", text))
    assert not stage(made, "source").findings, "it is one finding, the object's"
    (finding,) = [finding for finding in stage(made, "object").findings if finding.bug == "F19"]
    assert "; in its source: " in finding.reason


def test_a_policy_that_asks_for_the_configuration_needs_one_here(kernel):
    text = (GOOD / "kconfig_number.bpf.c").read_text()
    made = checked(kernel, Part("a.bpf.c", text)).made
    assert made is not None and asks_for_config(made.data)
    assert kernel.config is not None and b"CONFIG_HZ=" in kernel.config.read_bytes()


def test_parts_are_linked_and_each_is_looked_at(kernel):
    both = checked(kernel, Part("a.bpf.c", CALLER), Part("b.bpf.c", CALLEE))
    assert both.made is not None and stage(both, "build").ok
    assert both.made.data == checked(kernel, Part("a.bpf.c", CALLER), Part("b.bpf.c", CALLEE)).made.data
    ready = compile_policy(CALLEE, name="b.bpf.c", vmlinux_dir=kernel.headers)
    mixed = checked(kernel, Part("a.bpf.c", CALLER), Part("b.bpf.o", data=ready.data))
    notes = [(finding.place, finding.bug, finding.level) for finding in stage(mixed, "source").findings]
    assert notes == [("b.bpf.o", "source", "note")] and mixed.made.data == both.made.data


def test_what_does_not_fit_together_is_refused_in_the_linkers_words(kernel):
    twice = checked(kernel, Part("a.bpf.c", CALLEE), Part("b.bpf.c", CALLEE))
    (finding,) = [finding for finding in stage(twice, "build").findings if finding.level == "reject"]
    assert all(word in finding.reason for word in ("a.bpf.c", "b.bpf.c", "slice_for"))
    assert "/tmp" not in finding.reason
    with pytest.raises(BuildError, match=r"x, y cannot be linked: .*ELF"):
        link_objects([("x", b"no object"), ("y", b"\x7fELF")])


def test_a_ready_object_is_taken_as_it_is(kernel, tmp_path):
    data = compile_policy(GLOBAL.read_text(), name="g.bpf.c", vmlinux_dir=kernel.headers).data
    (tmp_path / "g.bpf.o").write_bytes(data)
    parts = [read_part(tmp_path / "g.bpf.o")]
    done = checked(kernel, *parts)
    assert done.ok and done.made.data == data
    assert [(found.bug, found.level) for found in stage(done, "source").findings] == [("source", "note")]
    (tmp_path / "g.bpf.c").write_text(GLOBAL.read_text())
    with pytest.raises(InputError, match=r"^-l .*g\.txt: not a \.bpf\.c or \.bpf\.o file"):
        read_linked([tmp_path / "g.bpf.c", tmp_path / "g.txt"])


def test_what_is_set_is_looked_for_in_the_object(kernel):
    text = '#include "own.h"\n' + GLOBAL.read_text().replace("3000000", "turn_ns")
    header = "const volatile unsigned long long turn_ns;\n"
    data = compile_policy(header + text.split("\n", 1)[1], name="a", vmlinux_dir=kernel.headers).data
    policy = policy_of(Part("a.bpf.c", text))
    assert words_for(policy, {"turn_ns": "0x10"}, data, kernel) == ("turn_ns=16",)
    flags = {"turn_ns": 5, **ops_values("plain_global_ops", ["SCX_OPS_ENQ_LAST", "SCX_OPS_ENQ_EXITING"])}
    words = words_for(policy, flags, data, kernel)
    assert words == ("turn_ns=5", "ops.use=plain_global_ops", "ops.flag=SCX_OPS_ENQ_EXITING,SCX_OPS_ENQ_LAST")
    for values, message in (
        ({"turn": 5}, "no variable 'turn'"),
        ({"turn_ns": -5}, "from 0 to"),
        (ops_values("gone", []), r"--ops gone: .*it has: plain_global_ops"),
        (
            ops_values("", ["SCX_OPS_NAME_LEN"]),
            r"--ops-flag SCX_OPS_NAME_LEN: .* no such flag; it has: .*SCX_OPS_ENQ_LAST",
        ),
    ):
        with pytest.raises(InputError, match=message):
            words_for(policy, values, data, kernel)
    for name, given in (("a b", []), ("", ["-x"]), ("", ["SCX_OPS_A,SCX_OPS_B"])):
        with pytest.raises(InputError, match="--ops"):
            ops_values(name, given)


def test_what_another_file_defines_is_told_with_the_option_that_gives_it(kernel):
    done = checked(kernel, Part("two.bpf.c", CALLER))
    found = stage(done, "object").findings[0]
    assert (found.bug, found.level, "slice_for" in found.reason, "-l" in found.advice) == ("link", "reject", True, True)
    assert not done.ok and checked(kernel, Part("two.bpf.c", CALLER), Part("three.bpf.c", CALLEE)).ok


SWITCHED = """#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
char _license[] SEC("license") = "GPL";
const volatile bool ordered;
SEC("struct_ops/sw_enqueue")
void BPF_PROG(sw_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (ordered)
		scx_bpf_dsq_insert(p, %s, 20000000, enq_flags);
	else
		scx_bpf_dsq_insert(p, 7, 5000000, enq_flags);
}
SEC(".struct_ops.link")
struct sched_ext_ops sw = { .enqueue = (void *)sw_enqueue, .timeout_ms = 5000, .name = "sw" };
"""


@pytest.mark.parametrize(("other", "hangs"), [("SCX_DSQ_GLOBAL", True), ("7", False), ("8", False)])
def test_a_switch_that_mends_nothing_is_not_named(kernel, other, hangs):
    done = checked(kernel, Part("sw.bpf.c", SWITCHED % other))
    found = next(finding for finding in stage(done, "object").findings if finding.bug == "F02")
    assert found.level == "reject" and ("--set ordered=" in found.advice) is hangs

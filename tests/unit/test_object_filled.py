# SPDX-License-Identifier: Apache-2.0
"""What a loader fills, as the object stage knows it: the same object is right or wrong by what it is loaded with."""

from __future__ import annotations

import pytest
from object_cases import object_bytes, rejected

from verifier_vm.object.analyse import analyse_object, asks_for_config, read_facts
from verifier_vm.object.filled import KernelValues, constants
from verifier_vm.object.kconfig import encode, read_kconfig, version_code
from verifier_vm.object.knobs import read_knobs

GLOBAL = 0x8000000000000001
KERNEL = KernelValues(
    {"SCX_SLICE_DFL": 20_000_000, "SCX_KICK_IDLE": 1, "SCX_OPS_ENQ_LAST": 2}, {"CONFIG_HZ": "250"}, "7.3.4+deb13"
)


def advice(stage) -> str:
    return " | ".join(finding.advice for finding in stage.findings)


def test_constants_that_mirror_enumerators_have_the_kernels_values():
    without = analyse_object(object_bytes("mirror_own_queue"))
    slices = [finding for finding in without.findings if finding.bug == "F20"]
    assert len(slices) == 1
    assert slices[0].advice.startswith("--set __SCX_SLICE_DFL=20000000, as its loader does")
    filled = analyse_object(object_bytes("mirror_own_queue"), (), KERNEL)
    assert rejected(filled) == [] and "slices: 5000000 ns" in filled.evidence
    assert "F20" not in {finding.bug for finding in filled.findings}


def test_what_is_set_counts_more_than_what_is_filled():
    stage = analyse_object(object_bytes("mirror_own_queue"), ("__SCX_SLICE_DFL=8000000",), KERNEL)
    assert "slices: 2000000 ns" in stage.evidence


@pytest.mark.parametrize(("release", "slices"), [("7.3.4", "3000000 ns"), ("6.11.9", "0 ns"), ("", "0 ns, 3000000 ns")])
def test_the_kernels_release_decides_where_the_policy_asks_for_it(release, slices):
    stage = analyse_object(object_bytes("kconfig_version"), (), KernelValues(release=release))
    assert f"slices: {slices}" in stage.evidence


def test_which_objects_ask_for_the_configuration_is_known():
    assert not asks_for_config(object_bytes("kconfig_version")) and not asks_for_config(b"no object")


def test_how_many_cpus_there_are_is_not_known_before_a_guest():
    facts = read_facts(object_bytes("given_per_cpu"))
    places = {constant.name: constant for constant in constants(facts.program)}
    assert {"nr_cpu_ids", "slices_ns"} <= set(places)
    for name in ("nr_cpu_ids", "slices_ns"):
        assert (places[name].section, places[name].offset) in facts.program.open, name
    assert not read_facts(object_bytes("given_per_cpu"), ("nr_cpu_ids=4",)).program.open & {(".rodata", 0)}


def test_an_array_with_an_element_for_each_cpu_takes_a_list():
    knobs = {knob.name: knob for knob in read_knobs(object_bytes("given_per_cpu"))}
    assert (knobs["slices_ns"].kind, knobs["slices_ns"].c_type, knobs["slices_ns"].count) == ("ints", "u64", 1024)
    assert rejected(analyse_object(object_bytes("given_per_cpu"), ("slices_ns=1000000,2000000",))) == []


def test_a_rejection_names_the_constant_that_nobody_filled_and_the_option():
    stage = analyse_object(object_bytes("given_queue"))
    first = next(finding for finding in stage.findings if finding.bug == "F02")
    assert "--set target=VALUE" in first.advice
    assert rejected(analyse_object(object_bytes("given_queue"), (f"target={GLOBAL}",))) == []


def test_a_rejection_that_hangs_on_no_constant_is_told_as_it_is():
    assert "--set" not in advice(analyse_object(object_bytes("f01_lost_subprogram_fails")))
    set_to_0 = analyse_object(object_bytes("given_queue"), ("target=0",))
    assert rejected(set_to_0) and "--set" not in advice(set_to_0), "somebody has filled it"


def test_flags_of_the_ops_are_set_by_name():
    stage = analyse_object(object_bytes("given_queue"), (f"target={GLOBAL}", "ops.flag=SCX_OPS_ENQ_LAST"), KERNEL)
    assert "flags 0x2" in stage.evidence
    assert rejected(analyse_object(object_bytes("vtime"), ("ops.flag=SCX_OPS_NONE",), KERNEL)) == ["knob"]


def test_a_policy_of_the_object_is_chosen_by_its_variable():
    assert rejected(analyse_object(object_bytes("vtime"), ("ops.use=other",))) == ["ops"]
    assert analyse_object(object_bytes("given_queue"), (f"target={GLOBAL}", "ops.use=given_queue_ops")).ok


def test_a_configuration_is_read_as_libbpf_reads_it():
    config = read_kconfig('# CONFIG_A is not set\nCONFIG_B=y\nCONFIG_HZ=250\nCONFIG_L="-x"\n CONFIG_NOT=y\n')
    assert config == {"CONFIG_B": "y", "CONFIG_HZ": "250", "CONFIG_L": '"-x"'}
    assert encode("y", 1, is_bool=True, is_char=False) == b"\1"
    assert encode("m", 1, is_bool=True, is_char=False) is None, "libbpf refuses a module where a bool is asked for"
    assert encode("m", 4, is_bool=False, is_char=False) == b"\2\0\0\0"
    assert encode("250", 4, is_bool=False, is_char=False) == (250).to_bytes(4, "little")
    assert encode('"-x"', 4, is_bool=False, is_char=True) == b"-x\0\0"
    assert encode("what", 4, is_bool=False, is_char=False) is None
    assert version_code("7.3.4+deb13-cloud") == 0x070304 and version_code("none") is None

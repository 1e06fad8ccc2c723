# SPDX-License-Identifier: Apache-2.0
"""What an essay names as its mechanisms is what the C holds, for every policy of the library."""

import pytest
from named_mechanisms import differences

from bpf.library import policies, policy, read_policy
from policy_lake.errors import InputError
from policy_lake.model import Policy, from_json, to_json

NAMED = [one.id for one in policies()]


@pytest.mark.parametrize("policy_id", NAMED)
def test_the_library_names_what_its_c_holds(policy_id):
    assert differences(policy(policy_id)) == []


@pytest.mark.parametrize(
    ("policy_id", "old", "new", "said"),
    [
        ("rr", "preempt=woken", "preempt=none", "preempt=none"),
        ("rr", "SX_KICK_PREEMPT", "SX_KICK_IDLE", "preempt=woken"),
        ("fifo", "preempt=none", "preempt=woken", "preempt=woken"),
        ("percpu", "steal=imbalance", "steal=none", "steal=none"),
        ("percpu", "queues=cpu", "queues=one", "other queues"),
        ("vtime", "order=vtime", "order=fifo", "the order of the queue"),
        ("llc", "queues=llc", "queues=cpu", "queues=cpu"),
        ("edf", "guard=round", "guard=short", "guard=short"),
        ("background", "class=nice", "class=none", "class=none"),
        ("smt", " place=core,", "", "place is not named"),
        ("warm", "ran_at, cpu_ids, warm_ns", "ran_at, cpu_ids, SX_MS", "knob warm_ns is never read"),
        ("fifo", ".running = (void *)fifo_running,", "", "running is in the table or"),
        ("rr", "&next_look", "&cpu_ids", "next_look is not used"),
        ("fifo", '#include "sx/sx.h"', '#include "primitives/due.bpf.h"', "nothing of due"),
    ],
)  # fmt: skip
def test_a_difference_is_told(policy_id, old, new, said):
    source = policy(policy_id).source
    found = differences(read_policy(source.replace(old, new), policy_id, "library"))
    assert any(said in one for one in found), found


@pytest.mark.parametrize("line", ["order", "order=", "order=Fifo", "order=fifo, order=vtime", "=fifo"])
def test_mechanisms_are_pairs(line):
    source = policy("fifo").source.replace("order=fifo, queues=one, place=kernel,", f"{line},")
    with pytest.raises(InputError, match=r"policy 'fifo': Mechanisms: '.*' is no name=value, or named twice"):
        read_policy(source, "fifo", "library")
    assert ("slice", "bounded") in read_policy(source, "fifo", "user").mechanisms


def test_what_says_nothing_of_mechanisms_has_none():
    assert read_policy("int x;", "mine", "user").mechanisms == ()
    assert "Mechanisms" not in policy("fifo").weak_at and policy("fifo").mechanisms[0] == ("order", "fifo")


def test_a_record_of_before_there_were_mechanisms_is_read():
    data = to_json(policy("rr"))
    assert from_json(Policy, data) == policy("rr") and data.pop("mechanisms")[0] == ["order", "woken"]
    assert from_json(Policy, data).mechanisms == ()

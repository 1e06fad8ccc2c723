# SPDX-License-Identifier: Apache-2.0
"""What the agent takes and what it refuses: each way in which a token, a list or a request can be wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from agent_cases import FakeHost, Running, attach_words, refused, run
from token_cases import REQUEST, resigned, revoke, sha

from host_agent.protocol import RefusedError
from policy_lake.topology import Topology


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


def test_a_token_is_good_for_one_attachment(host: FakeHost) -> None:
    async def test(here: Running) -> None:
        token = host.token()
        await here.attach(token)
        with refused("attached"):
            await here.attach(host.token())
        await here.ask("detach")
        with refused("used"):
            await here.attach(token)
        await here.attach()

    run(host, test)
    assert [told["code"] for told in host.told("refused")] == ["attached", "used"]


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "object": ({"object": "b3RoZXI="}, "other_object"),
    "knobs": ({"knobs": ["slice_us=501", "long_comms=transcode"]}, "other_arguments"),
    "no knobs": ({"knobs": []}, "other_arguments"),
    "stage": ({"stage": "fleet"}, "later_stage"),
    "no token": ({"token": "e30="}, "malformed"),
    "nothing": ({"token": ""}, "malformed"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_what_the_token_is_not_for_is_refused_and_the_token_not_used_up(host: FakeHost, case: str) -> None:
    changes, code = OTHERS[case]

    async def test(here: Running) -> None:
        token = host.token()
        with refused(code):
            await here.ask("attach", **{**attach_words(token), **changes})
        assert host.state == "disabled" and not (host.sys / "seen.json").exists()
        await here.attach(token)

    run(host, test)


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"kernel": "6.12"}, "other_kernel"), ({"btf_sha256": sha("x")}, "other_btf"),
     ({"audience": "h"}, "other_audience")],
)  # fmt: skip
def test_a_token_of_another_host_or_kernel_is_refused(host: FakeHost, changes: dict[str, Any], code: str) -> None:
    async def test(here: Running) -> None:
        with refused(code):
            await here.attach(host.token(**{"score": None, **changes}))

    run(host, test)


def test_more_cpus_than_were_tried_are_refused_and_cpus_are_counted_at_attach_time(host: FakeHost) -> None:
    async def test(here: Running) -> None:
        (host.sys / "devices/system/cpu/present").write_text("0-15\n")
        with refused("other_topology"):
            await here.attach()
        (host.sys / "devices/system/cpu/present").write_text("0-7\n")
        await here.attach()

    assert max(topology.cpus for topology in (Topology(8),)) == 8
    run(host, test)


def test_a_host_that_takes_none_that_ends_by_hotplug(host: FakeHost) -> None:
    async def test(here: Running) -> None:
        with refused("ends_by_hotplug"):
            await here.attach()

    run(host, test, hotplug=True)


def test_a_made_up_verdict_signed_by_another_key_and_a_changed_statement_are_refused(
    host: FakeHost, tmp_path: Path
) -> None:
    foreign = FakeHost(tmp_path / "elsewhere") if (tmp_path / "elsewhere").mkdir() is None else host

    async def test(here: Running) -> None:
        with refused("other_key"):
            await here.attach(foreign.token())
        envelope = json.loads(host.token())
        with refused("bad_signature"):
            await here.attach(json.dumps({**envelope, "payload": "e30="}).encode())
        stolen = resigned(
            host.keys, envelope, lambda statement: statement["predicate"]["schedcp"].update(nonce="ab" * 16)
        )
        with refused("not_logged"):
            await here.attach(json.dumps(stolen).encode())

    run(host, test)


def test_a_revoked_object_an_older_list_and_no_list_are_refused(host: FakeHost) -> None:
    async def test(here: Running) -> None:
        token = host.token()
        before = (host.root / "trust/revoked.dsse.json").read_bytes()
        revoke(host.keys, "object", sha("bad"))
        host.share()
        await here.attach(token)
        await here.ask("detach")
        next_ = host.token()
        (host.root / "trust/revoked.dsse.json").write_bytes(before)
        with refused("old_revocations"):
            await here.attach(next_)
        (host.root / "trust/revoked.dsse.json").unlink()
        with refused("unreadable"):
            await here.attach(next_)
        revoke(host.keys, "object", REQUEST.object_sha256)
        host.share()
        with refused("revoked"):
            await here.attach(next_)

    run(host, test)


def test_a_host_that_lost_its_consumed_nonces_attaches_nothing(host: FakeHost) -> None:
    async def first(here: Running) -> None:
        await here.attach()

    run(host, first)
    (host.root / "state/tokens/host_state.json").unlink()

    async def test(here: Running) -> None:
        with refused("host_state"):
            await here.attach()

    run(host, test)


def test_a_newer_list_is_taken_an_older_one_not_and_what_it_revokes_goes(host: FakeHost) -> None:
    def listed() -> dict[str, Any]:
        return dict(json.loads((host.keys / "revoked.dsse.json").read_text()))

    async def test(here: Running) -> None:
        await here.attach()
        old = listed()
        revoke(host.keys, "object", sha("bad"))
        new, head = listed(), json.loads((host.keys / "log.head.json").read_text())
        assert (await here.ask("trust", revocations=new))["revocations"] == 2
        with refused("old_revocations"):
            await here.ask("trust", revocations=old)
        with refused("bad_signature"):
            await here.ask("trust", revocations={**new, "payload": old["payload"]})
        with refused("bad_request"):
            await here.ask("trust", head=head)
        assert here.agent.on is not None
        revoke(host.keys, "object", REQUEST.object_sha256)
        await here.ask("trust", revocations=listed())
        assert here.agent.on is None and host.state == "disabled"

    run(host, test)
    assert host.told("detached")[0]["why"] == "token"


def test_many_refusals_are_counted_and_not_all_written_down(host: FakeHost) -> None:
    async def test(here: Running) -> None:
        for _ in range(50):
            with refused("malformed"):
                await here.attach(b"{}")
        assert (await here.ask("status"))["counts"]["verdicts"] == {"malformed": 50}

    run(host, test)
    assert len(host.told("refused")) == 20


def test_a_canary_that_is_promoted_stays_for_good_if_its_token_goes_so_far(host: FakeHost) -> None:
    async def test(here: Running) -> None:
        await here.ask("attach", **attach_words(host.token(rollout_limit="host", tier="full"), lease=60))
        with refused("later_stage"):
            await here.ask("lease", lease=0, stage="fleet")
        assert (await here.ask("status"))["stage"] == "canary"
        await here.ask("lease", lease=0, stage="host")
        assert (await here.ask("status"))["stage"] == "host" and host.state == "enabled"
        await here.ask("pause")
        await here.ask("unpause")
        assert (await here.ask("status"))["stage"] == "host"

    run(host, test)
    assert host.told("lease")[0]["stage"] == "host"


@pytest.mark.parametrize("lease", [0, 601, 86_400])
def test_a_canary_is_not_lent_for_good(host: FakeHost, lease: int) -> None:
    async def test(here: Running) -> None:
        with pytest.raises(RefusedError) as told:
            await here.ask("attach", **attach_words(host.token(), lease=lease))
        assert told.value.code == "stage" and host.state == "disabled"
        await here.ask("attach", **attach_words(host.token(), lease=60))
        with pytest.raises(RefusedError) as told:
            await here.ask("lease", lease=lease)
        assert told.value.code == "stage"

    run(host, test)

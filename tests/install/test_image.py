# SPDX-License-Identifier: Apache-2.0
"""The container image: built by the real engine, and run as a stranger would, without KVM, network or privileges."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD_S, RUN_S = 3600, 900


@pytest.fixture(scope="module")
def image(docker, base):
    """The image's name; built anew, by layers where an earlier build left them."""
    options = ("--network", "host", "--build-arg", f"BASE={base}", "-t", "schedcp")
    built = docker("build", *options, ROOT, timeout_s=BUILD_S)
    assert built.returncode == 0, (built.stdout + built.stderr)[-3000:]
    return "schedcp"


def run(docker, image, *args, options=()):
    return docker("run", "--rm", "--network", "none", *options, image, *args, timeout_s=RUN_S)


def test_tune_wins_with_a_token_by_the_virtual_clock(docker, image):
    done = run(docker, image, "tune", "batch", "--json", options=("--cap-drop", "ALL"))
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout)
    assert result["best"]["token"].startswith("/data/tokens/")
    assert result["best"]["clock"] == "virtual"


def test_what_a_volume_holds_is_there_in_the_next_container(docker, image):
    assert docker("volume", "create", "schedcp-test").returncode == 0
    try:
        kept = ("-v", "schedcp-test:/data")
        done = run(
            docker,
            image,
            "verify",
            "/data/fifo.bpf.c",
            "--json",
            options=("-v", f"{policy()}:/data/fifo.bpf.c:ro", *kept),
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert run(docker, image, "token", "show", json.loads(done.stdout)["token"], options=kept).returncode == 0
    finally:
        docker("volume", "rm", "schedcp-test")


def policy() -> Path:
    return ROOT / "bpf/library/fifo.bpf.c"


def test_doctor_finds_nothing_missing(docker, image):
    done = run(docker, image, "doctor")
    assert done.returncode == 0 and "missing" not in done.stdout, done.stdout + done.stderr


def test_it_is_no_root_and_has_no_tests_or_linters(docker, image):
    start = ("--entrypoint", "sh")
    asked = (
        "id -u; /opt/schedcp/bin/python -m pip list 2>/dev/null | grep -ciE '^(pytest|mypy|ruff|hypothesis) ' || true"
    )
    done = run(docker, image, "-c", asked, options=start)
    uid, tools = done.stdout.split()
    assert int(uid) > 0 and tools == "0", done

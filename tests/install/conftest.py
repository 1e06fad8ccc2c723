# SPDX-License-Identifier: Apache-2.0
"""A Docker engine: the one that answers, or one of our own for as long as the tests take; and a base to build on.

Both take minutes and the package mirrors: `make image-test` and `make wheel-test`, nightly, and no part of `make test`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from skipping import skip_or_fail

DEBIAN = "debian:12-slim"
PULL_S, START_S = 120, 60
# What a machine is set to, for pip and its certificates.
SETTINGS = ("http_proxy", "https_proxy", "no_proxy", "PIP_CERT", "PIP_DEFAULT_TIMEOUT", "SSL_CERT_FILE")


class Docker:
    """The command, spoken to one engine."""

    def __init__(self, host: str) -> None:
        # Any engine has the classic builder, with or without a plugin.
        self.env = {**os.environ, "DOCKER_BUILDKIT": "0", **({"DOCKER_HOST": host} if host else {})}

    def __call__(self, *args: object, timeout_s: float = 60, **more) -> subprocess.CompletedProcess:
        command = ["docker", *map(str, args)]
        more = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **more}
        return subprocess.run(command, env=self.env, timeout=timeout_s, check=False, **more)

    def answers(self) -> bool:
        return self("info", "--format", "{{.ServerVersion}}").returncode == 0


@pytest.fixture(scope="session")
def docker():
    if not shutil.which("docker"):
        skip_or_fail("docker is not installed: run `apt-get install docker.io`")
    if (engine := Docker("")).answers():
        yield engine
        return
    if os.geteuid() != 0 or not shutil.which("dockerd"):
        skip_or_fail("no Docker engine answers, and to start one takes root and dockerd (`apt-get install docker.io`)")
    # No bridge and no packet filter: a container shares the host's network or has none. A socket's path is short.
    with tempfile.TemporaryDirectory(prefix="schedcp-docker-", dir="/var/tmp", ignore_cleanup_errors=True) as home:
        places = {
            "host": f"unix://{home}/s",
            "data-root": f"{home}/data",
            "exec-root": f"{home}/x",
            "pidfile": f"{home}/pid",
        }
        options = [f"--{name}={value}" for name, value in places.items()]
        with Path(home, "log").open("w") as log:
            daemon = subprocess.Popen(
                ["dockerd", *options, "--bridge=none", "--iptables=false", "--ip6tables=false"], stdout=log, stderr=log
            )
        try:
            engine, deadline = Docker(places["host"]), time.monotonic() + START_S
            while not engine.answers():
                if daemon.poll() is not None or time.monotonic() > deadline:
                    last = Path(home, "log").read_text().strip().splitlines()[-1:]
                    skip_or_fail(f"no Docker engine starts here: {last}")
                time.sleep(0.5)
            yield engine
        finally:
            daemon.terminate()
            daemon.wait(60)


@pytest.fixture(scope="session")
def base(docker):
    """The image to build on: SCHEDCP_IMAGE_BASE, Debian's own, or the same made of this machine's mirror."""
    if named := os.environ.get("SCHEDCP_IMAGE_BASE"):
        return named
    try:
        if docker("pull", "-q", DEBIAN, timeout_s=PULL_S).returncode == 0:
            return DEBIAN
    except subprocess.TimeoutExpired:
        pass
    if not shutil.which("mmdebstrap"):
        skip_or_fail(f"no registry has {DEBIAN}, and mmdebstrap, which would make it, is not installed")
    with tempfile.TemporaryDirectory(prefix="schedcp-base-", dir="/var/tmp") as home:
        _debian(Path(home) / "root")
        settings = [f"ENV {name}={os.environ[name]}" for name in SETTINGS if os.environ.get(name)]
        changes = [part for setting in settings for part in ("--change", setting)]
        with subprocess.Popen(["tar", "-C", Path(home) / "root", "-c", "."], stdout=subprocess.PIPE) as tar:
            made = docker("import", *changes, "-", "schedcp-base", stdin=tar.stdout, timeout_s=300)
        assert made.returncode == 0, made.stderr
    return "schedcp-base"


def _debian(root: Path) -> None:
    """A minimal Debian 12 in `root`, with the certificates that this machine trusts."""
    wanted = ["apt-get", "indextargets", "--no-release-info", "--format", "$(REPO_URI)", "Created-By: Packages"]
    uris = subprocess.run(wanted, capture_output=True, text=True, check=True).stdout.split()
    uri = next(iter(sorted(uri for uri in uris if "debian" in uri and "security" not in uri)), None)
    if uri is None:
        skip_or_fail("this machine's apt sources name no mirror to make a base from")
    line = f"deb {uri} bookworm main"
    command = ["mmdebstrap", "--quiet", "--variant=minbase", "--include=ca-certificates", "bookworm", str(root), line]
    made = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    if made.returncode:
        skip_or_fail(f"mmdebstrap cannot make a base: {made.stderr.strip().splitlines()[-1:]}")
    for place in ("etc/ssl/certs", "usr/local/share/ca-certificates"):
        # cp: links are followed, and those to nowhere are no reason to stop.
        subprocess.run(["cp", "-rL", f"/{place}/.", root / place], capture_output=True, check=False)

# SPDX-License-Identifier: Apache-2.0
"""What a confined command can do: read what it is given, write to its pipes, and nothing else."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from leftovers import processes

from bpf import confine, launch
from bpf.launch import Limits, OutputError
from bpf.toolchain import LIBRARIES
from policy_lake.errors import InfraError

PYTHON = os.path.realpath(sys.executable)
HOME = (PYTHON, str(Path(os.__file__).parent), str(Path(sys.base_prefix, "lib")))
needs_landlock = pytest.mark.skipif(not launch.can_confine(), reason="this kernel has no Landlock")


def run(*commands, reads=(), data=b"", timeout_s=60, cpu_s=10, memory=1 << 30):
    return launch.launch(
        commands, data, reads=[*LIBRARIES, *HOME, *reads], limits=Limits(cpu_s, memory), timeout_s=timeout_s
    )


def python(code):
    return [PYTHON, "-I", "-S", "-c", code]


def refused(code, **options):
    """The last line that Python says to this code."""
    done = run(python(code), **options)
    assert done.returncode == 1, done
    return done.stderr.decode().splitlines()[-1]


@needs_landlock
def test_it_reads_what_it_is_given_and_nothing_beside(tmp_path):
    for name in ("given", "beside"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(f"in {name}")
    (tmp_path / "given" / "link").symlink_to(tmp_path / "beside" / "file")
    given = [str(tmp_path / "given")]
    done = run(python(f"print(open('{tmp_path}/given/file').read())"), reads=given)
    assert done.stdout == b"in given\n"
    for path in ("beside/file", "given/link", "given/../beside/file"):
        assert "PermissionError" in refused(f"open('{tmp_path}/{path}')", reads=given)
    assert "PermissionError" in refused("open('/etc/passwd')", reads=given)


@needs_landlock
@pytest.mark.parametrize(
    "code",
    [
        "open('{home}/new', 'w')",
        "import os; os.mkdir('{home}/new')",
        "import os; os.unlink('{home}/file')",
        "import os; os.rename('{home}/file', '{home}/new')",
        "import os; os.truncate('{home}/file', 0)",
        "open('/dev/shm/schedcp-test', 'w')",
    ],
)
def test_it_changes_nothing_not_even_where_it_may_read(code, tmp_path):
    (tmp_path / "file").write_text("kept")
    assert "PermissionError" in refused(code.format(home=tmp_path), reads=[str(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize("family", [1, 2, 10, 16])  # UNIX, INET, INET6, NETLINK
def test_it_has_no_socket_of_any_kind(family):
    assert "PermissionError" in refused(f"import _socket; _socket.socket({family}, {3 if family == 16 else 1})")


def test_it_cannot_take_its_limits_off():
    code = "import resource as r; r.setrlimit(r.RLIMIT_AS, (r.RLIM_INFINITY, 4 << 30)); print('lifted')"
    if os.geteuid() == 0:
        code = "import os; print(open('/proc/self/status').read().split('NoNewPrivs:')[1].split()[0])"
        assert run(python(code), reads=["/proc"]).stdout == b"1\n"
    else:
        assert "ValueError" in refused(code)


def test_time_memory_and_output_are_limited():
    assert run(python("while True: pass"), cpu_s=1).returncode == -24  # SIGXCPU
    assert "MemoryError" in refused("bytearray(2 << 30)")
    with pytest.raises(OutputError):
        run(python("import os\nwhile True: os.write(1, bytes(1 << 16))"))
    with pytest.raises(TimeoutError):
        run(python("import time; time.sleep(60)"), timeout_s=0.5)


def test_nothing_is_left_running_when_time_is_up(tmp_path):
    marker = "61.25"
    with pytest.raises(TimeoutError):
        run(python(f"import time; time.sleep({marker})"), python(f"import time; time.sleep({marker})"), timeout_s=1)
    limit = time.monotonic() + 5
    while (left := processes(f"time.sleep({marker})")) and time.monotonic() < limit:
        time.sleep(0.1)
    assert not left


def test_of_two_commands_the_first_that_fails_is_told():
    double = python("import sys; sys.stdout.write(sys.stdin.read() * 2)")
    assert run(double, double, data=b"ab").stdout == b"abababab"
    assert run(python("raise SystemExit(3)"), python("raise SystemExit(4)")).returncode == 3
    assert run(double, python("raise SystemExit(4)")).returncode == 4
    assert run(python("import os; os.kill(os.getpid(), 11)"), double).returncode == -11


def test_what_cannot_be_started_or_confined_is_our_failure(monkeypatch):
    with pytest.raises(InfraError, match="cannot run /nowhere/cc confined: confine: /nowhere/cc"):
        run(["/nowhere/cc"], ["/nowhere/cc"])
    monkeypatch.setattr(launch, "launcher", lambda reads, limits: [PYTHON, "-I", "-S", str(launch.SCRIPT), "--odd"])
    with pytest.raises(InfraError, match="no option --odd"):
        run(python("pass"))


def test_without_landlock_it_says_so_and_never_pretends(monkeypatch):
    monkeypatch.setattr(confine, "landlock_abi", lambda: 0)
    with pytest.raises(OSError, match="this kernel has no Landlock"):
        confine.main(["--", "/bin/true"])
    launch.can_confine.cache_clear()
    try:
        assert "--no-landlock" in launch.launcher([], Limits(1))
    finally:
        launch.can_confine.cache_clear()

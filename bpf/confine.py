# SPDX-License-Identifier: Apache-2.0
"""Runs a command, or two joined by a pipe, that can read the paths given and touch nothing else.

`python -I -S confine.py [OPTION]... -- COMMAND [| COMMAND]`, with the options `--read PATH`, `--write FILE`, `--cpu
SECONDS`, `--memory BYTES`, `--no-landlock`, `--with-parent PID` (to end when that one does). A script of its own: what
sets limits must run between fork and exec, where a threaded Python may not do work. It ends as its first command that
fails did, by the same signal if it was one, and with 125 if it could not confine.

Landlock (Linux 5.13; TCP from 6.7, signals and abstract sockets from 6.12) takes away writing, and reading anything but
the paths given; seccomp takes away sockets of every kind. Only what the launcher inherits stays open: stdin, stdout and
stderr. `--write` is for what can write to no pipe: one file that exists, of up to FILE_BYTES.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` makes enums and `platform` brings `re`: 15 ms that every compilation would pay
import ctypes
import os
import resource
import struct
import sys

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on every architecture
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
TRUNCATE_ABI = 3  # before, truncating is not asked about
FILE_BYTES = 64 << 20
FS_BITS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # how many rights on files each ABI knows; 16 from 5 on
SOCKET_CALLS = {"x86_64": (0xC000003E, (41, 425)), "aarch64": (0xC00000B7, (198, 425))}  # socket, io_uring_setup
UNABLE = 125
_LIBC = ctypes.CDLL(None, use_errno=True)


def landlock_abi() -> int:
    """Which Landlock this kernel has; 0 for none (too old, left out, or turned off at boot)."""
    return max(0, int(_LIBC.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))))


def confine(read: list[str], abi: int, write: str = "") -> None:
    """Take away from this process, for good, all but reading and executing below these paths; OSError if it cannot."""
    _call(_LIBC.prctl(38, 1, 0, 0, 0))  # PR_SET_NO_NEW_PRIVS
    if abi:
        fs = (1 << FS_BITS.get(abi, 16)) - 1
        attributes = struct.pack("=QQQ", fs, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
        size = 24 if abi >= 6 else 16 if abi >= 4 else 8
        ruleset = _call(_LIBC.syscall(CREATE_RULESET, attributes, ctypes.c_size_t(size), ctypes.c_uint32(0)))
        for path in read:
            _allow(ruleset, path)
        if write:
            _allow(ruleset, write, WRITE_FILE | READ_FILE | (TRUNCATE if abi >= TRUNCATE_ABI else 0))
        _call(_LIBC.syscall(RESTRICT_SELF, ruleset, ctypes.c_uint32(0)))
        os.close(ruleset)
    _without_sockets()


def _allow(ruleset: int, path: str, rights: int = 0) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # what is not there cannot be read
    rights = rights or EXECUTE | READ_FILE | (READ_DIR if os.path.isdir(path) else 0)  # noqa: PTH112  pathlib costs 10 ms
    _call(_LIBC.syscall(ADD_RULE, ruleset, 1, struct.pack("=Qi", rights, opened), ctypes.c_uint32(0)))
    os.close(opened)


def _without_sockets() -> None:
    """A seccomp filter under which socket() and io_uring_setup() fail; none for an architecture not listed."""
    arch, calls = SOCKET_CALLS.get(os.uname().machine, (0, ()))
    if not arch:
        return
    load, equal, give = 0x20, 0x15, 0x06
    program = [(load, 0, 0, 4), (equal, 1, 0, arch), (give, 0, 0, 0x80000000), (load, 0, 0, 0)]
    program += [(equal, len(calls) - index, 0, number) for index, number in enumerate(calls)]
    program += [(give, 0, 0, 0x7FFF0000), (give, 0, 0, 0x00050001)]  # allow; fail with EPERM
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    described = struct.pack("@HP", len(program), ctypes.addressof(code))
    _call(_LIBC.prctl(22, 2, described, 0, 0))  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


def _call(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _limit(cpu_s: int, memory: int, file_bytes: int) -> None:
    # Else a file may not grow at all: output goes through pipes. At its soft limit of CPU time a process gets SIGXCPU.
    for what, soft, hard in (
        (resource.RLIMIT_FSIZE, file_bytes, file_bytes),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_AS, memory, memory),
        (resource.RLIMIT_CPU, cpu_s, cpu_s + 5),
    ):
        most = resource.getrlimit(what)[1]
        both = (soft, hard) if most == resource.RLIM_INFINITY else (min(soft, most), min(hard, most))
        resource.setrlimit(what, both)


def _start(command: list[str], stdin: int, stdout: int) -> int:
    """Start a command that ends when this launcher does."""
    parent = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        _LIBC.prctl(1, _signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
        _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)  # Python ignores it, and a child would inherit that
        if os.getppid() == parent:
            os.dup2(stdin, 0)
            os.dup2(stdout, 1)
            os.execv(command[0], command)
    except OSError as error:
        os.write(2, f"confine: {command[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(UNABLE)


def _run(commands: list[list[str]]) -> int:
    """Run the commands, each one's stdout being the next one's stdin; how the first that failed ended, or 0."""
    children, stdin = [], 0
    for index, command in enumerate(commands):
        if index + 1 < len(commands):
            reading, writing = os.pipe()  # close-on-exec, but for what dup2 makes of them
        else:
            reading, writing = -1, 1
        children.append(_start(command, stdin, writing))
        if stdin > 0:
            os.close(stdin)
        if writing != 1:
            os.close(writing)
        stdin = reading
    os.close(0)  # or who writes to a command that died would not be told
    statuses = [os.waitpid(child, 0)[1] for child in children]
    return next((status for status in statuses if status), 0)


def _end_with(parent: int) -> None:
    _LIBC.prctl(1, _signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        raise OSError("its caller has ended")


def _split(words: list[str]) -> list[list[str]]:
    commands: list[list[str]] = [[]]
    for word in words:
        if word == "|":
            commands.append([])
        else:
            commands[-1].append(word)
    return commands


def main(words: list[str]) -> int:
    """Parse, confine, run; returns the wait status of the first command that failed."""
    read, write, cpu_s, memory, landlock = [], "", 20, 2 << 30, True
    while words and words[0] != "--":
        option = words.pop(0)
        if option == "--no-landlock":
            landlock = False
        elif option == "--read":
            read.append(words.pop(0))
        elif option == "--write":
            write = words.pop(0)
        elif option == "--cpu":
            cpu_s = int(words.pop(0))
        elif option == "--memory":
            memory = int(words.pop(0))
        elif option == "--with-parent":
            _end_with(int(words.pop(0)))
        else:
            raise ValueError(f"no option {option}")
    commands = _split(words[1:])
    abi = landlock_abi() if landlock else 0
    if landlock and not abi:
        raise OSError("this kernel has no Landlock")
    confine(read, abi, write)
    _limit(cpu_s, memory, FILE_BYTES if write else 0)
    if len(commands) == 1:
        os.execv(commands[0][0], commands[0])
    return _run(commands)


if __name__ == "__main__":
    try:
        ended = main(sys.argv[1:])
    except (OSError, ValueError, IndexError) as error:
        os.write(2, f"confine: {error}\n".encode())
        os._exit(UNABLE)
    if os.WIFSIGNALED(ended):
        if os.WTERMSIG(ended) != _signal.SIGKILL:
            _signal.signal(os.WTERMSIG(ended), _signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(ended))
    os._exit(os.WEXITSTATUS(ended))

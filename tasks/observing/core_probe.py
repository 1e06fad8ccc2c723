# SPDX-License-Identifier: Apache-2.0
"""The probe by libbpf, relocated to the running kernel by its BTF (CO-RE): compiled once by our compiler call."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
from pathlib import Path
from typing import Literal

from bpf.build import compile_policy
from policy_lake.errors import InfraError

SOURCE = Path(__file__).parents[2] / "bpf/host/tasks.bpf.c"
BTF = Path("/sys/kernel/btf/vmlinux")
TIMER = "each_ms"
_PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}
_QUIET = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda level, text, more: 0)


class CoreProbe:
    """Loaded by its making, attached by `attach`. OSError as the kernel refuses; InfraError for want of libbpf."""

    backend: Literal["core"] = "core"

    def __init__(self, cache_dir: Path) -> None:
        self._lib = _libbpf()
        source = SOURCE.read_text()
        # The object is tiny, and its types lie beside it: no vmlinux.h of this host has to be made.
        built = compile_policy(
            source, name=SOURCE.name, vmlinux_dir=SOURCE.parent, source_dir=SOURCE.parent, cache_dir=cache_dir
        )
        self._data = ctypes.create_string_buffer(built.data, len(built.data))
        self._links: list[int] = []
        self._object = self._pointer(self._lib.bpf_object__open_mem(self._data, len(built.data), None), "opened")
        try:
            if (status := self._lib.bpf_object__load(self._object)) < 0:
                raise OSError(-status, f"the probe is not loaded: {os.strerror(-status)}")
        except BaseException:
            self.close()
            raise

    def map_fd(self, name: str) -> int:
        return int(self._lib.bpf_object__find_map_fd_by_name(self._object, name.encode()))

    def program_fds(self) -> list[int]:
        return [int(self._lib.bpf_program__fd(program)) for program in self._programs()]

    def attach(self, clock_cpu: int) -> None:
        """From now on it counts; its clock ticks on that CPU."""
        for program in self._programs():
            name = self._lib.bpf_program__name(program)
            if name == TIMER.encode():
                link = self._lib.bpf_program__attach_perf_event(program, _clock(clock_cpu))
            else:
                link = self._lib.bpf_program__attach(program)
            self._links.append(self._pointer(link, f"attached ({name.decode()})"))

    def detach(self) -> None:
        while self._links:
            self._lib.bpf_link__destroy(self._links.pop())

    def close(self) -> None:
        self.detach()
        if self._object:
            self._lib.bpf_object__close(self._object)
            self._object = 0

    def _programs(self) -> list[int]:
        found, program = [], self._lib.bpf_object__next_program(self._object, None)
        while program:
            found.append(program)
            program = self._lib.bpf_object__next_program(self._object, program)
        return found

    def _pointer(self, value: int | None, what: str) -> int:
        if not value:
            error = ctypes.get_errno()
            raise OSError(error, f"the probe is not {what}: {os.strerror(error)}")
        return value


def _clock(cpu: int) -> int:
    """A software event that hits once a ms on one CPU, idle or not (perf_event_open(2)); its descriptor."""
    attributes = (ctypes.c_uint32 * 32)()
    attributes[0], attributes[1] = 1, ctypes.sizeof(attributes)  # PERF_TYPE_SOFTWARE
    attributes[4] = 1_000_000  # sample_period, ns of PERF_COUNT_SW_CPU_CLOCK, whose number is 0
    number = _PERF_EVENT_OPEN[platform.machine()]
    fd = ctypes.CDLL(None, use_errno=True).syscall(number, ctypes.byref(attributes), -1, cpu, -1, 8)
    if fd < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"perf_event_open: {os.strerror(error)}")
    return int(fd)


@functools.cache
def _libbpf() -> ctypes.CDLL:
    try:
        lib = ctypes.CDLL("libbpf.so.1", use_errno=True)
    except OSError:
        raise InfraError("libbpf is not installed: run `apt-get install libbpf1`") from None
    for name, arguments in (
        ("bpf_object__open_mem", (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)),
        ("bpf_object__next_program", (ctypes.c_void_p, ctypes.c_void_p)),
        ("bpf_program__attach", (ctypes.c_void_p,)),
        ("bpf_program__attach_perf_event", (ctypes.c_void_p, ctypes.c_int)),
    ):
        function = getattr(lib, name)
        function.restype, function.argtypes = ctypes.c_void_p, arguments
    for name in ("bpf_object__load", "bpf_program__fd", "bpf_link__destroy", "bpf_object__close", "bpf_program__name"):
        getattr(lib, name).argtypes = (ctypes.c_void_p,)
    lib.bpf_program__name.restype = ctypes.c_char_p
    lib.bpf_object__find_map_fd_by_name.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
    lib.libbpf_set_print(_QUIET)
    return lib

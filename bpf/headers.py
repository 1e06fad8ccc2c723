# SPDX-License-Identifier: Apache-2.0
"""Where a policy's headers come from, what may be read for them, and the flags of the compiler's front end."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bpf.precompiled import HEADER, KFUNCS, TYPES_ONLY, precompiled, stored
from bpf.special import special_files, without
from bpf.toolchain import Toolchain, find_toolchain
from policy_lake.errors import InputError
from policy_lake.files import atomic_write

BPF_DIR = Path(__file__).parent
ROOT = Path("/")
# -mcpu=v3: atomics that return a value. -g: BTF comes out of debug information. The kernel wants the loops as written.
CFLAGS = ("--target=bpf", "-mcpu=v3", "-std=gnu17", "-O2", "-g", "-Wall", "-fno-color-diagnostics",
          "--no-default-config")  # fmt: skip
# What tools/sched_ext/Makefile of the kernel and scx say besides: structs that are members by their tag alone, as newer
# vmlinux.h have them.
DIALECT = ("-mlittle-endian", "-fms-extensions", "-Wno-microsoft-anon-tag")
# vmlinux.h declares anonymous members that clang has an opinion on; a crash of clang must not leave its report in /tmp.
QUIET = ("-Wno-missing-declarations", "-Wno-unknown-warning-option", "-Wno-compare-distinct-pointer-types",
         "-Wno-pch-vfs-diff", "-fno-crash-diagnostics")  # fmt: skip
ARCHES = {"x86_64": "x86", "aarch64": "arm64"}
# What a file beside a source must be called to be read: that directory may be somebody's home.
HEADER_SUFFIXES = (".h", ".c", ".inc", ".def")
HEADERS_DEPTH, HEADERS_MOST = 3, 2000


@dataclass(frozen=True, slots=True)
class Headers:
    """Where one source's headers are looked for: the directories that a caller of compile_policy names.

    Relative ones are the caller's: the compiler itself runs in /, where they would mean others. InputError for /
    itself, below which everything lies.
    """

    vmlinux_dir: Path
    include_dirs: tuple[Path, ...] = ()
    source_dir: Path | None = None
    cache_dir: Path | None = None

    def __post_init__(self) -> None:
        for directory in self.include_dirs:
            if directory.resolve() == ROOT:
                raise InputError(f"-I {directory}: the whole file system is no directory of headers; name one below it")
        if self.source_dir is not None and self.source_dir.resolve() == ROOT:
            raise InputError(
                "a policy in / has the whole file system for its headers; move it to a directory of its own"
            )
        object.__setattr__(self, "vmlinux_dir", self.vmlinux_dir.absolute())
        object.__setattr__(self, "include_dirs", tuple(path.absolute() for path in self.include_dirs))
        for name in ("source_dir", "cache_dir"):
            path = getattr(self, name)
            object.__setattr__(self, name, path.absolute() if path else None)

    def flags(self, source: str, tools: Toolchain, *, for_object: bool = True) -> list[str]:
        """The flags of the front end for this source; InputError when there is no vmlinux.h.

        A source that opens with sx/sx.h or vmlinux.h, and nothing to shadow it, gets vmlinux.h precompiled; where no
        object is to come of it, the whole of what it opens with.
        """
        if not (self.vmlinux_dir / "vmlinux.h").is_file():
            raise InputError(f"no vmlinux.h in '{self.vmlinux_dir}'")
        plain = self._plain_flags()
        overlay = f"-ivfsoverlay{self._overlay(tools)}"
        first = first_include(source)
        if first is None or self.include_dirs or self._shadowed(first):
            return [*plain, overlay]
        shared = Headers(self.vmlinux_dir, cache_dir=self.cache_dir)
        text = TYPES_ONLY if for_object else f'#include "{first}"\n'
        inputs = [self.vmlinux_dir / "vmlinux.h"]  # first: that is where the prototypes are
        inputs += [] if for_object else [*(BPF_DIR / "include").rglob("*.h"), *Path("/usr/include/bpf").glob("*.h")]
        made = precompiled(text, inputs, shared._plain_flags(), shared.reads(tools), self._cache(), tools)
        if made is None:
            return [*plain, overlay]
        kfuncs = ["-include", str(made / KFUNCS)] if first == "vmlinux.h" and for_object else []
        return [*plain, overlay, "-include-pch", str(made / HEADER), *kfuncs]

    def reads(self, tools: Toolchain) -> list[str]:
        """Every path that the compiler may read, and all that is below it."""
        searched = [path for directory in self.include_dirs for path in without(directory, special_files(directory))]
        searched += [BPF_DIR / "include", BPF_DIR / "primitives", self.vmlinux_dir, self._cache()]
        beside = _headers_beside(self.source_dir) if self.source_dir else ()
        return [*tools.reads, *(str(path) for path in (*tools.headers, *searched, *beside))]

    def special(self) -> list[Path]:
        """What lies where headers are looked for and is none, so that the compiler may not open it."""
        beside = special_files(self.source_dir) if self.source_dir else []
        return beside + [path for directory in self.include_dirs for path in special_files(directory)]

    def _plain_flags(self) -> list[str]:
        quoted = [f"-iquote{self.source_dir}"] if self.source_dir else []
        searched = [f"-I{path}" for path in (*self.include_dirs, BPF_DIR / "include", BPF_DIR, self.vmlinux_dir)]
        # After all others, as upstream has it: found where the build would else have failed.
        searched += [f"-idirafter{path}" for path in find_toolchain().multiarch]
        arch = f"-D__TARGET_ARCH_{ARCHES.get(platform.machine(), 'x86')}"
        return [*CFLAGS, *DIALECT, *QUIET, arch, *self._without_host_paths(), *quoted, *searched]

    def _without_host_paths(self) -> list[str]:
        """Options that keep this machine's paths out of the object, whose hash a token names."""
        renamed = [(path, f"include{index}") for index, path in enumerate(self.include_dirs)]
        renamed += [(self.source_dir, "source")] if self.source_dir else []
        renamed += [(self.vmlinux_dir, "vmlinux"), (BPF_DIR, "bpf")]
        return ["-ffile-compilation-dir=.", *(f"-fdebug-prefix-map={path}={name}" for path, name in renamed)]

    def _shadowed(self, first: str) -> bool:
        """Whether a quoted include of the precompiled headers would have found another file beside the source."""
        if self.source_dir is None:
            return False
        return any((self.source_dir / name).exists() for name in ("vmlinux.h", "sx", "bpf", first))

    def _cache(self) -> Path:
        return stored(self.cache_dir or self.vmlinux_dir)

    def _overlay(self, tools: Toolchain) -> Path:
        """The file that makes every directory but these look empty: what is elsewhere cannot even be asked for."""
        wanted = [*self.include_dirs, BPF_DIR, self.vmlinux_dir, self._cache(), *tools.headers]
        wanted += [self.source_dir] if self.source_dir else []
        visible = dict.fromkeys(str(path.absolute()) for path in wanted)
        roots = [{"type": "directory-remap", "name": path, "external-contents": path} for path in visible]
        overlay = json.dumps({"version": 0, "redirecting-with": "redirect-only", "roots": roots})
        path = self._cache() / f"overlay-{hashlib.sha256(overlay.encode()).hexdigest()[:24]}.yaml"
        if not path.is_file():
            atomic_write(path, overlay.encode())
        return path


def first_include(source: str) -> str | None:
    """`sx/sx.h` or `vmlinux.h` if the source's first words, after comments, are that include; else None."""
    rest = source
    while True:
        rest = rest.lstrip(" \t\n")
        if rest.startswith("//"):
            line, _, rest = rest.partition("\n")
            if line.endswith("\\") or "??/" in line:  # the comment goes on in the next line
                return None
        elif rest.startswith("/*"):
            _, _, rest = rest.partition("*/")
        else:
            break
    line = rest.partition("\n")[0].rstrip()
    for name in ("sx/sx.h", "vmlinux.h"):
        if line in (f'#include "{name}"', f"#include <{name}>"):
            return name
    return None


def _headers_beside(directory: Path) -> Iterator[Path]:
    """The headers in a source's directory, some levels deep; no link, which might lead anywhere."""
    top, count = len(directory.parts), 0
    for visited, (home, inner, names) in enumerate(os.walk(directory)):
        inner[:] = [name for name in inner if not name.startswith(".")]
        if len(Path(home).parts) - top >= HEADERS_DEPTH:
            inner.clear()
        for name in names:
            path = Path(home, name)
            if name.endswith(HEADER_SUFFIXES) and not path.is_symlink() and path.is_file():
                count += 1
                yield path
        if max(count, visited) >= HEADERS_MOST:
            return

# SPDX-License-Identifier: Apache-2.0
"""The paper's eight batches, run on this host in tiny sizes under the address and undefined behaviour sanitizers."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from makespan import makespan_bound

from benchmarks.workloads import WORKLOAD_SIZES, arguments, workload, workload_ids

GUEST = Path(__file__).parents[2] / "benchmarks" / "guest"
WARNINGS = ("-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror")
LIBRARIES = ("-lm", "-lz")

# Tiny sizes, and the paper's ratio of the large job to a small one (the table in the descriptors' comments).
SIZES = {
    "compression": (150, 1000, 20 / 3),
    "video": (10, 630, 63.0),
    "ctest": (6000, 36000, 1250 / 210),
    "git": (4000, 70000, 700 / 40),
    "checksum": (10007, 50035, 5.0),
    "hotkey": (500, 6630, 10_700_000 / 807_000),
    "logs": (300, 11843, 1500 / 38),
    "products": (1000, 13184, 10_600_000 / 804_000),
}
# What each case would do wrong: every one of these must be noticed by the job's own check.
CORRUPTIONS = {
    "compression": ("packed += gzip_inflate.avail_in;", "packed += gzip_inflate.avail_in; gzip_packed[9] ^= 4;"),
    "video": (">> DCT_BITS;", ">> (DCT_BITS + inverse);"),
    "ctest": ("sum += sin(x) * cos(x);", "sum += i == 7 ? 0 : sin(x) * cos(x);"),
    "git": ("bad = deflate_into(to, git_in", "git_in[0] ^= 1; bad = deflate_into(to, git_in"),
    "checksum": (
        "sha_add(&sha, checksum_buffer,",
        "static int n; checksum_buffer[0] ^= n++ == 1; sha_add(&sha, checksum_buffer,",
    ),
    "hotkey": ("group->sum += value;", "group->sum += value % 16 ? value : 0;"),
    "logs": (">= 400;", ">= 600;"),
    "products": ("with->sold += sale->quantity;", "with->sold += 1;"),
}


def compile_to(out, source, *flags):
    subprocess.run(["gcc", *WARNINGS, *flags, "-o", out, source, *LIBRARIES], check=True)
    return out


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory):
    out = tmp_path_factory.mktemp("batchcase") / "batchcase"
    flags = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    return compile_to(out, GUEST / "batchcase.c", *flags)


@pytest.fixture(scope="module")
def corrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corrupted")
    for file in (*GUEST.glob("*.h"), GUEST / "batchcase.c"):
        shutil.copy(file, folder)
    for name, (right, wrong) in CORRUPTIONS.items():
        path = folder / f"case_{name}.h"
        source = path.read_text()
        assert source.count(right) == 1, name
        path.write_text(source.replace(right, wrong))
    return compile_to(folder / "batchcase", folder / "batchcase.c", "-O1")


def run(program, *args, **environment):
    env = {"PATH": "/usr/bin:/bin", **environment}
    done = [str(arg) for arg in (program, *args)]
    return subprocess.run(done, capture_output=True, text=True, timeout=60, check=False, env=env)


def tiny(name, *more):
    small, large, _ = SIZES[name]
    return (name, "--small", small, "--large", large, *more)


def comms(done):
    return [job["comm"] for job in json.loads(done.stdout)["jobs"]]


def test_there_is_a_descriptor_for_each_case_and_a_case_for_each_descriptor():
    assert {f"batch-{name}" for name in SIZES} == {id for id in workload_ids() if workload(id).program == "batchcase"}


@pytest.mark.parametrize("name", SIZES)
def test_a_descriptor_keeps_the_papers_ratio_in_each_tier_and_grows(name):
    described, before = workload(f"batch-{name}"), 0
    for tier in WORKLOAD_SIZES:
        args = arguments(described, seed=7, accel="tcg", tier=tier)
        small, large = (int(args[args.index(option) + 1]) for option in ("--small", "--large"))
        assert large / small == pytest.approx(SIZES[name][2], rel=0.005)
        assert small > before
        before = small
        assert args[0] == name and args[args.index("--jobs") + 1] == "40"


@pytest.mark.parametrize("name", SIZES)
def test_a_case_does_its_work_and_leaves_nothing(name, sanitized, tmp_path):
    done = run(sanitized, *tiny(name, "--seed", 5, "--jobs", 6), TMPDIR=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    out = json.loads(done.stdout)
    small, large = comms(done)[0], comms(done)[-1]
    assert comms(done) == [small] * 5 + [large]
    assert small.endswith("-small") and large == small.removesuffix("small") + "large" and len(large) <= 15
    assert out["ok"] and all(job["ok"] for job in out["jobs"])
    bound = makespan_bound([job["cpu_ms"] for job in out["jobs"]], out["cpus"])
    assert out["bound_ms"] == pytest.approx(bound, abs=0.01)
    assert out["makespan_ms"] == max(job["end_ms"] for job in out["jobs"])
    assert not list(tmp_path.iterdir())
    wanted = workload(f"batch-{name}")
    assert {wanted.metric, wanted.bound, *(guard.metric for guard in wanted.guards)} <= set(out)


@pytest.mark.parametrize("naming", [1, 2])
@pytest.mark.parametrize("name", SIZES)
def test_a_job_that_calls_exec_still_has_its_inputs(name, naming, sanitized, tmp_path):
    shuffled = ("--seed", 5, "--jobs", 4, "--shuffle", 1)
    named = run(sanitized, *tiny(name, *shuffled), TMPDIR=str(tmp_path))
    done = run(sanitized, *tiny(name, *shuffled, "--naming", naming), TMPDIR=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["ok"] and comms(done) == comms(named)
    assert not list(tmp_path.iterdir())


def test_a_job_of_no_batch_is_refused(sanitized):
    done = run(sanitized, "--job", 3)
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.endswith("--job is for its own jobs\n")


@pytest.mark.parametrize("name", SIZES)
def test_corrupted_work_is_found_out_by_small_and_large_jobs(name, corrupted):
    done = run(corrupted, *tiny(name, "--jobs", 3))
    out = json.loads(done.stdout)
    assert (done.returncode, out["ok"]) == (1, False)
    assert [job["ok"] for job in out["jobs"]] == [False] * 3
    assert "its result is wrong" in done.stderr


@pytest.mark.parametrize("seed", range(3))
def test_each_seed_makes_data_that_its_own_check_accepts(sanitized, seed, tmp_path):
    for name in SIZES:
        done = run(sanitized, *tiny(name, "--seed", seed, "--jobs", 2), TMPDIR=str(tmp_path))
        assert done.returncode == 0, (name, done.stderr)


def test_an_order_drawn_from_the_seed_is_the_seeds_alone(sanitized):
    def order(seed, shuffle=1):
        return comms(run(sanitized, *tiny("products", "--seed", seed, "--shuffle", shuffle)))

    drawn = [order(seed) for seed in range(8)]
    places = [comm.index("join-large") for comm in drawn]
    assert all(sorted(comm) == sorted(drawn[0]) and len(comm) == 40 for comm in drawn)
    assert len(set(places)) > 4, places
    assert order(3) == drawn[3]
    assert order(3, shuffle=0)[-1] == "join-large"


def test_a_job_that_cannot_write_fails_the_batch_in_one_line(sanitized):
    for name in ("git", "checksum"):
        done = run(sanitized, *tiny(name), TMPDIR="/proc")
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert "cannot make /proc/batchcase." in done.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "which case?"),
        (["zip"], "no case 'zip'; known are compression"),
        (["logs"], "--small and --large must be given, in lines"),
        (["logs", "--small", 300], "--small and --large must be given"),
        (["logs", "--small", 0, "--large", 300], "--small must be a whole number from 100"),
        (["logs", "--small", 300, "--large", "x"], "--large must be a whole number"),
        (["logs", "--small", 300, "--large", 300, "--jobs", 1], "--jobs must be"),
        (["logs", "--small", 300, "--large", 300, "--order", 1], "unknown option '--order'"),
        (["logs", "--small", 300, "--large", 300, "--naming", 3], "--naming must be"),
    ],
)
def test_wrong_options_are_told_in_one_line(sanitized, args, said):
    done = run(sanitized, *args)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert said in done.stderr


def test_the_hashes_are_sha_1_and_sha_256(tmp_path):
    (tmp_path / "sums.c").write_text(
        f'#include <stdio.h>\n#include "{GUEST}/sha.h"\n'
        "int main(void) { char data[4096]; size_t size = fread(data, 1, sizeof(data), stdin);"
        "struct sha one = sha1(), two = sha256();"
        "for (size_t i = 0; i < size; i += 13) { size_t part = size - i < 13 ? size - i : 13;"
        "sha_add(&one, data + i, part); } sha_add(&two, data, size);"
        "const uint32_t *a = sha_end(&one), *b = sha_end(&two), abc[1] = {0xa9993e36};"
        'for (int i = 0; i < 5; i++) printf("%08x", a[i]); printf("\\n");'
        'for (int i = 0; i < 8; i++) printf("%08x", b[i]); return !sha_is_right(sha1(), abc, 1); }\n'
    )
    program = compile_to(tmp_path / "sums", tmp_path / "sums.c", "-O2")
    for size in (0, 1, 55, 56, 63, 64, 65, 119, 120, 1000, 4096):
        data = bytes(i * 7 % 251 for i in range(size))
        done = subprocess.run([program], input=data, capture_output=True, check=True)
        assert done.stdout.decode().split("\n") == [hashlib.sha1(data).hexdigest(), hashlib.sha256(data).hexdigest()]

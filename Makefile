# SPDX-License-Identifier: Apache-2.0
SHELL := /bin/bash
PYTHON := .venv/bin/python
WORKLOAD ?= batch
PORT ?= 4200
.DEFAULT_GOAL := help
.PHONY: help setup tune test bench bench-real bench-published machine-ranking reach fidelity replay-fidelity kernel-traces docs compose schemas matrix upstream mutants attack fleet-test fleet-faults fleet-docs ci-fleet team-test observe-agree registry-test fuzz fuzz-policies image-test wheel-test lint ui lock clean

help: ## what can be made here
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

setup: ## packages, virtual environment, kernel, guest image (repeats cost about a second)
	@control_plane/setup.sh
	@.venv/bin/schedcp setup

tune: setup ## tune WORKLOAD (batch) against EEVDF in micro-VMs and print a report
	@.venv/bin/schedcp tune $(WORKLOAD)

test: setup ## every test; REQUIRE_VM=1 turns a skipped guest into a failure
	@$(PYTHON) -m pytest tests/unit -q -n 2 --dist loadfile
	@$(PYTHON) -m pytest tests/integration -q -n 2 --dist loadfile
	@$(PYTHON) -m pytest tests/vm --ignore tests/vm/test_vm.py -q -n 2 --dist loadfile
	@$(PYTHON) -m pytest tests/vm/test_vm.py tests/e2e -q # it counts the host's guests

bench: setup ## what is measured, side by side in one run
	@for part in control_plane.bench.loop control_plane.bench.verify control_plane.bench.score control_plane.bench.trials control_plane.bench.clock; do \
	  $(PYTHON) -m $$part || missed=1; done; exit $${missed:-0}

bench-real: setup ## real programs and switch costs on this host beside a guest that is taken for it, into docs/fidelity-machine.md
	@$(PYTHON) -m control_plane.bench.real_programs

bench-published: setup ## published effects of placement tried on the machines, into docs/fidelity-published.md
	@$(PYTHON) -m control_plane.bench.published $(EFFECTS)

machine-ranking: setup ## every library policy on every machine, into docs/machines-ranking.md (half an hour); or MACHINES="laptop=batch"
	@$(PYTHON) -m control_plane.bench.machine_ranking $(MACHINES)

reach: setup ## what the planner reaches on every workload beside its bound, into docs/reach.md (hours, goes on where it was); or WORKLOADS="batch-video"
	@$(PYTHON) -m control_plane.bench.reach $(WORKLOADS)

fidelity: setup ## score every policy by both clocks on an otherwise idle machine, and write docs/fidelity.md
	@$(PYTHON) -m control_plane.bench.fidelity

replay-fidelity: setup ## record three commands on an otherwise idle machine, replay them, and write docs/replay.md
	@$(PYTHON) -m control_plane.bench.replay_page

kernel-traces: setup ## record the kernel builds of benchmarks/traces anew, on an otherwise idle machine (minutes)
	@$(PYTHON) -m control_plane.bench.kernel_build

docs: setup ## site/: the pages of docs/, and the library's API from its docstrings
	@$(PYTHON) control_plane/face/site_build.py site

compose: ## bpf/library's compositions anew, from bpf/library_compositions.py
	@$(PYTHON) -m bpf.compose --write

schemas: ## docs/schemas/ anew, from the records that the commands print with --json
	@$(PYTHON) -m control_plane.write_schemas docs/schemas

matrix: setup ## every stage of the verifier on every planted bug and every policy without one, into docs/bugs.md
	@$(PYTHON) tests/bug_matrix.py

upstream: setup ## the examples of the guest kernel's own source through the verifier, into docs/upstream.md (fetches 160 MB once)
	@$(PYTHON) tests/upstream.py

mutants: setup ## whether the tests notice faults in the code that decides, for hours; or MODULES="a.py b.py" MOST=40
	@nice -n 10 $(PYTHON) tests/mutants.py $(if $(MOST),--most $(MOST)) $(MODULES)

image-test: setup ## nightly: the container image, built and run by a Docker engine (minutes, and the package mirrors)
	@nice $(PYTHON) -m pytest tests/install/test_image.py -q -s --timeout 5400

wheel-test: setup ## nightly: the wheel in an empty virtual environment, set up and tuned (minutes, and the package mirrors)
	@nice $(PYTHON) -m pytest tests/install/test_wheel_run.py -q -s --timeout 5400

registry-test: setup ## nightly: an exported policy through skopeo and a registry on loopback; needs skopeo and docker-registry
	@REQUIRE_VM=1 nice $(PYTHON) -m pytest tests/install/test_registry.py -q

fleet-test: setup ## nightly: three real hosts up, cut off, killed, down; chosen tasks; a policy that harms rolled back (root, mmdebstrap)
	@FLEET_HOSTS=3 REQUIRE_VM=1 nice $(PYTHON) -m pytest tests/vm/test_fleet.py tests/vm/test_partial.py tests/vm/test_rollout_rolled_back.py -q -s --timeout 3000

observe-agree: setup ## the probe by both loaders held against perf on one run, on CPUs that are busy (root)
	@AGREE=1 $(PYTHON) -m pytest tests/integration/test_observe_real.py -q

team-test: setup ## nightly: a Prefect server on Debian's PostgreSQL, and a worker that never runs two at once (docs/team.md)
	@TEAM=1 nice $(PYTHON) -m pytest tests/e2e/test_team.py -q

fleet-faults: setup ## nightly: 100 faults injected into a real host, into docs/rollout-faults.md (an hour); or COUNT=16 SEED=2
	@nice $(PYTHON) tests/inject_faults.py $(if $(COUNT),--count $(COUNT)) $(if $(SEED),--seed $(SEED)) $(foreach kind,$(ONLY),--only $(kind))

fleet-docs: setup ## nightly: the commands of docs/rollout.md as they stand there, on a fresh fleet of one host; QUICK=1 as far as a canary
	@REQUIRE_VM=1 FLEET_DOCS=1 $(if $(QUICK),DOCS_QUICK=1) nice $(PYTHON) -m pytest tests/install/test_rollout_page.py -q -s --timeout 5400

ci-fleet: setup ## a fleet that builds: tuned, a canary, build minutes, one switch (root, mmdebstrap, ten minutes); VARIANT=bad
	@PATH=$(CURDIR)/.venv/bin:$$PATH $(PYTHON) examples/ci-fleet/run.py $(or $(VARIANT),good)

attack: setup ## SIGKILL of each process of a run at 10 random moments each, and 200 starts, for hours; or MOMENTS=1 STARTS=10
	@nice $(PYTHON) tests/attack.py $(if $(MOMENTS),--moments $(MOMENTS)) $(if $(STARTS),--starts $(STARTS)) $(if $(ROLES),--roles $(ROLES))

fuzz: ## 10,000 hostile inputs for every parser of what comes from outside (nightly), and objects; or COUNT=300
	@$(PYTHON) tests/fuzz.py --count $(or $(COUNT),10000)

fuzz-policies: setup ## nightly: sound policies and mutants of them through the verifier, into docs/fuzz-policies.md; or COUNT=80 SOUND=40 TIER=short
	@nice $(PYTHON) tests/fuzz_policies.py $(if $(COUNT),--count $(COUNT)) $(if $(SOUND),--sound $(SOUND)) $(if $(SEED),--seed $(SEED)) $(if $(TIER),--tier $(TIER)) $(foreach kind,$(ONLY),--only $(kind))

lint: ## ruff, mypy, direction of imports
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

ui: setup ## the Prefect UI on loopback, with the runs of this machine; PORT=4200
	@DO_NOT_TRACK=1 PREFECT_SERVER_ANALYTICS_ENABLED=false PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT=false \
	  .venv/bin/prefect server start --host 127.0.0.1 --port $(PORT)

lock: ## requirements.lock from requirements.in and requirements-dev.in, with hashes and no addresses
	@VIRTUAL_ENV=$(CURDIR)/.venv .venv/bin/uv pip compile -q --universal --python-version 3.11 --fork-strategy fewest \
	  --generate-hashes --no-emit-index-url --no-header --override requirements-overrides.txt \
	  requirements.in requirements-dev.in -o requirements.lock

clean: ## the virtual environment and build leftovers; the cache and the lake stay
	@rm -rf .venv *.egg-info build site .mypy_cache .ruff_cache .pytest_cache

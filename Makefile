# Every target sets up what it needs in a fresh clone; a second `make` finds everything done. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

PYTHON ?= $(shell command -v python3.11 || command -v python3)
UV_VERSION := $(shell sed -n 's/^uv==//p' requirements.lock)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
JOBS ?= $(shell getconf _NPROCESSORS_ONLN)
# A test process takes up to 2 GB.
TEST_JOBS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$((n < 4 ? n : 4)))

BUILD_PACKAGES := g++
TEST_PACKAGES := $(BUILD_PACKAGES) clang libclang-rt-dev libgtest-dev g++-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static adb
NATIVE_SOURCES := $(shell find runtime -name '*.cpp' -o -name '*.h' -o -name '*.cmake' -o -name CMakeLists.txt)

CMAKE := PATH="$(CURDIR)/$(BIN):$$PATH" cmake
NATIVE_OPTIONS := -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python

export CMAKE_BUILD_PARALLEL_LEVEL := $(JOBS)
export DEBIAN_FRONTEND := noninteractive

# debian(packages, what they are for): install what is missing; without root say so in one line and go on.
define debian
	missing=""; for p in $(1); do dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	  else echo "missing Debian packages for $(2): apt-get install$$missing"; fi; fi
endef

.PHONY: help
help:  ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(STAMP)/venv:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(v != (3, 11) and f"the pinned packages need Python 3.11, {sys.executable} is {v[0]}.{v[1]}; name another one by PYTHON=...")'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { $(call debian,python3-venv,the virtual environment); }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@mkdir -p $(STAMP) && touch $@

$(STAMP)/packages: requirements.lock $(STAMP)/venv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.lock
	@touch $@

$(STAMP)/debian-build: Makefile $(STAMP)/venv
	@$(call debian,$(BUILD_PACKAGES),the native library)
	@touch $@

$(STAMP)/debian-test: Makefile $(STAMP)/venv
	@$(call debian,$(TEST_PACKAGES),all tests)
	@{ $(call debian,chromium,the browser tests of the report); } || echo "no chromium here: the browser tests of the report are skipped"
	@touch $@

# The editable install knows modules by their files: it is repeated (a second) when one was added, moved or removed.
.PHONY: always
$(STAMP)/modules: always | $(STAMP)/venv
	@find bitsr training export validation -name '*.py' | sort > $@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

$(STAMP)/editable: pyproject.toml $(STAMP)/modules $(STAMP)/packages
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-build-isolation --no-deps --editable .
	@touch $@

build/native/.built: $(NATIVE_SOURCES) $(STAMP)/packages $(STAMP)/debian-build
	$(CMAKE) -S runtime -B build/native -G Ninja -DCMAKE_BUILD_TYPE=Release $(NATIVE_OPTIONS)
	$(CMAKE) --build build/native
	@touch $@

.PHONY: build
build: $(STAMP)/editable build/native/.built  ## virtual environment, native library, the `bitsr` command in .venv/bin

.PHONY: demo
demo: build  ## a photo through the exported network in both runtimes: pictures, PSNR, parity and times in build/demo
	$(BIN)/bitsr demo --input assets/chelsea.png --output build/demo --overwrite

.PHONY: test
test: build arm64  ## all tests, those of arm64 under QEMU
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=$(TEST_JOBS) --dist=loadfile

.PHONY: bench
bench: build  ## our kernels against float32 and int8, layer and whole net; JSON in build/bench; LARQ_PYTHON=... adds Larq
	$(BIN)/bitsr bench --output build/bench $(if $(LARQ_PYTHON),--larq-python $(LARQ_PYTHON))

.PHONY: lint
lint: $(STAMP)/packages  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The aarch64 wheels of both runtimes, unpacked: their libraries are linked and run under QEMU, never imported.
BITSR_ARM64_WHEELS ?= build/arm64-wheels
ARM64_PACKAGES := $(shell grep -E '^(executorch|ai-edge-litert)==' requirements.lock)

.PHONY: arm64-wheels
arm64-wheels: $(STAMP)/packages
	@if [ ! -d $(BITSR_ARM64_WHEELS)/executorch ] || [ ! -d $(BITSR_ARM64_WHEELS)/ai_edge_litert ]; then \
	  $(BIN)/uv pip install --quiet --python $(BIN)/python --target $(BITSR_ARM64_WHEELS) --no-deps --only-binary :all: \
	    --python-version 3.11 --python-platform aarch64-manylinux_2_28 $(ARM64_PACKAGES) \
	  || echo "the aarch64 wheels ($(ARM64_PACKAGES)) could not be fetched: bitsr-run for arm64 gets no ExecuTorch"; fi

.PHONY: arm64
arm64: $(STAMP)/packages $(STAMP)/debian-test arm64-wheels  ## cross-build for arm64 Linux: core tests, bitsr-run with both runtimes, delegate, backend
	@wheels=$(abspath $(BITSR_ARM64_WHEELS)); executorch=OFF; [ ! -d $$wheels/executorch ] || executorch=ON; set -x; \
	$(CMAKE) -S runtime -B build/arm64 -G Ninja -DCMAKE_BUILD_TYPE=Release -DBITSR_TESTS=ON -DBITSR_EXECUTORCH=$$executorch \
	  -DBITSR_EXECUTORCH_DIR=$$wheels/executorch -DBITSR_LITERT_DIR=$$wheels/ai_edge_litert \
	  -DCMAKE_TOOLCHAIN_FILE=$(CURDIR)/runtime/cmake/aarch64-linux-gnu.cmake
	$(CMAKE) --build build/arm64

# Debian's adbd for arm64, unpacked: with it `make test` tries the adb target on a device of its own.
.PHONY: adb-device
adb-device:  ## an arm64 userland with a genuine adbd in build/adbd, for the test of `bitsr validate --on adb:...`
	bash tests/validation/adb_device/fetch.sh build/adbd

FUZZ_SECONDS ?= 600
FUZZ_TARGETS := program options texts

.PHONY: fuzz
fuzz: $(STAMP)/packages $(STAMP)/debian-test  ## every fuzz target for FUZZ_SECONDS (600) under the sanitizers; findings in build/fuzz/findings
	$(CMAKE) -S runtime -B build/fuzz -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1 \
	  -DCMAKE_CXX_COMPILER=clang++ -DBITSR_FUZZ=ON -DBITSR_EXECUTORCH=OFF -DBITSR_TFLITE=OFF
	$(CMAKE) --build build/fuzz --target $(FUZZ_TARGETS:%=bitsr_fuzz_%)
	@mkdir -p build/fuzz/findings $(FUZZ_TARGETS:%=build/fuzz/found/%)
	for target in $(FUZZ_TARGETS); do \
	  build/fuzz/fuzz/bitsr_fuzz_$$target -max_total_time=$(FUZZ_SECONDS) -max_len=65536 -rss_limit_mb=2048 -print_final_stats=1 \
	    -artifact_prefix=build/fuzz/findings/ build/fuzz/found/$$target runtime/fuzz/corpus/$$target; done

.PHONY: wheel
wheel: $(STAMP)/packages $(STAMP)/debian-build  ## the wheel, with the native library, in dist
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/uv build --quiet --wheel --no-build-isolation --python $(BIN)/python --out-dir dist
	@ls -l dist/*.whl

.PHONY: clean
clean:  ## remove build products; the virtual environment stays
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f $(STAMP)/editable

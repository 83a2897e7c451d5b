# Every target sets up what it needs in a fresh clone; a second `make` finds everything done. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
UV_VERSION := $(shell sed -n 's/^uv==//p' requirements.lock)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
JOBS ?= $(shell getconf _NPROCESSORS_ONLN)
# A test process takes up to 2 GB.
TEST_JOBS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$((n < 4 ? n : 4)))

BUILD_PACKAGES := g++
TEST_PACKAGES := $(BUILD_PACKAGES) clang libclang-rt-dev libgtest-dev g++-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static adb
NATIVE_SOURCES := $(shell find runtime -name '*.cpp' -o -name '*.h' -o -name '*.inc' -o -name '*.cmake' -o -name CMakeLists.txt)

CMAKE := PATH="$(CURDIR)/$(BIN):$$PATH" cmake
NATIVE_OPTIONS := -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python

export CMAKE_BUILD_PARALLEL_LEVEL := $(JOBS)
# Images of containers often set it; then each command would compile PyTorch's modules anew, a third of an export's time.
unexport PYTHONDONTWRITEBYTECODE
export DEBIAN_FRONTEND := noninteractive

# debian(packages, what they are for): install what is missing; where that can not be done, say so in one line and fail.
define debian
	{ missing=""; for p in $(1); do dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	[ -z "$$missing" ] \
	|| { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing >/dev/null; } \
	|| { echo "missing Debian packages for $(2): apt-get install$$missing" >&2; false; }; }
endef

# uv asks where pip would (its configuration, the PIP_... of the environment) and trusts the system's certificates; a
# UV_... of the environment goes before. pip calls all its indexes equal, so uv must when there are several.
define like_pip
	pip_says="$$($(BIN)/python -m pip config list 2>/dev/null || true)"; \
	pip_value() { for place in :env: install global; do \
	  value="$$(sed -n "s|^$$place\.$$1='\(.*\)'$$|\1|p" <<<"$$pip_says")"; [ -z "$$value" ] || { echo "$$value"; return; }; done; }; \
	index="$${UV_DEFAULT_INDEX:-$$(pip_value index-url)}"; more="$${UV_INDEX:-$$(pip_value extra-index-url)}"; \
	links="$${UV_FIND_LINKS:-$$(pip_value find-links | tr ' ' ',')}"; \
	[ -z "$$index" ] || export UV_DEFAULT_INDEX="$$index"; [ -z "$$links" ] || export UV_FIND_LINKS="$$links"; \
	[ -z "$$more" ] || export UV_INDEX="$$more" UV_INDEX_STRATEGY="$${UV_INDEX_STRATEGY:-unsafe-best-match}"; \
	export UV_SYSTEM_CERTS="$${UV_SYSTEM_CERTS:-1}"
endef

# fetch(command): run it; where no package index can be reached, one sentence instead of its pages.
define fetch
	log=$(VENV)/fetch.log; if ! $(1) >$$log 2>&1; then \
	  if grep -qiE 'connect|dns error|name resolution|unreachable|timed out' $$log; then \
	    echo "the package index can not be reached: connect to the network, or name a proxy (HTTPS_PROXY) or an index" \
	      "within reach (pip config set global.index-url URL), and run make again; details: $$log" >&2; \
	  else cat $$log >&2; fi; exit 1; fi
endef
UV_INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python

.PHONY: help
help:  ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(STAMP)/venv:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(not (3, 11) <= v <= (3, 13) and f"the pinned packages need Python 3.11 to 3.13, {sys.executable} is {v[0]}.{v[1]}; name another one by PYTHON=...")'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(call debian,python3-venv,the virtual environment)
	$(PYTHON) -m venv $(VENV)
	@$(call fetch,$(BIN)/python -m pip install --quiet --disable-pip-version-check --retries 1 uv==$(UV_VERSION))
	@mkdir -p $(STAMP) && touch $@

$(STAMP)/packages: requirements.lock $(STAMP)/venv
	@echo "installing the packages of requirements.lock"
	@$(like_pip); $(call fetch,$(UV_INSTALL) -r requirements.lock)
	@touch $@

# Stamps say what is there: without them the next run looks again.
$(STAMP)/debian-build: Makefile $(STAMP)/venv
	@command -v c++ >/dev/null || $(call debian,$(BUILD_PACKAGES),the native library)
	@touch $@

$(STAMP)/debian-test: Makefile $(STAMP)/venv
	@if $(call debian,$(TEST_PACKAGES),all tests) && $(call debian,chromium,the browser tests of the report); then touch $@; fi

# The editable install knows modules by their files: it is repeated (a second) when one was added, moved or removed.
.PHONY: always
$(STAMP)/modules: always | $(STAMP)/venv
	@find bitsr training export validation -name '*.py' | sort > $@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

$(STAMP)/editable: pyproject.toml $(STAMP)/modules $(STAMP)/packages
	@$(UV_INSTALL) --offline --no-build-isolation --no-deps --editable .
	@touch $@

build/native/.built: $(NATIVE_SOURCES) $(STAMP)/packages $(STAMP)/debian-build
	$(CMAKE) -S runtime -B build/native -G Ninja -DCMAKE_BUILD_TYPE=Release $(NATIVE_OPTIONS)
	$(CMAKE) --build build/native
	@touch $@

.PHONY: build
build: $(STAMP)/editable build/native/.built  ## virtual environment, native library, the `bitsr` command in .venv/bin

# What Python loads of the native build, which is all that the demo runs.
.PHONY: demo
demo: $(STAMP)/editable $(STAMP)/packages $(STAMP)/debian-build  ## a photo through the exported network in both runtimes: pictures, PSNR, parity and times in build/demo
	$(CMAKE) -S runtime -B build/native -G Ninja -DCMAKE_BUILD_TYPE=Release $(NATIVE_OPTIONS)
	$(CMAKE) --build build/native --target bitsr bitsr_executorch bitsr_tflite
	$(BIN)/bitsr demo --input assets/chelsea.png --output build/demo --overwrite

MINUTES ?= 60
DATA ?= data
.PHONY: train-next
train-next: build  ## go on with the shipped weights' next training for MINUTES=60, pictures in DATA=data (docs/zoo.md)
	$(BIN)/bitsr train --next --minutes $(MINUTES) --data $(DATA)

.PHONY: test
test: build arm64 artifacts android-runner android-unidbg android-host web $(STAMP)/debian-web $(STAMP)/debian-arm  ## all tests, those of arm64 under QEMU, of the Android app in the JVM, of the page in Chromium
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=$(TEST_JOBS) --dist=loadfile

ONLY ?=
.PHONY: test-nightly
test-nightly: build  ## every family at full size exports to both formats, untrained and trained; hours; ONLY="frbt_x4" a part; table in build/nightly
	BITSR_NIGHTLY=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/nightly $(if $(ONLY),-k "$(ONLY)")

.PHONY: bench
bench: build  ## our kernels against float32 and int8, layer and whole net; JSON in build/bench; LARQ_PYTHON=... adds Larq
	$(BIN)/bitsr bench --output build/bench $(if $(LARQ_PYTHON),--larq-python $(LARQ_PYTHON))

# What counts the instructions of arm64 programs, and models its processors. qemu-user-static takes no plugins.
ARM_BENCH := build/bench-arm
ARM_BENCH_PACKAGES := clang g++-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user llvm-19
ARM_BENCH_OPTIONS := -G Ninja -DCMAKE_BUILD_TYPE=Release -DBITSR_BENCH=ON -DBITSR_EXECUTORCH=OFF -DBITSR_TFLITE=OFF -DBITSR_RUNNER=OFF
ARM_BENCH_MODELS := ebsr_light_plus_fast_x4 ebsr_light_plus_tiny_x4 ebsr_light_plus_micro_x4

$(STAMP)/debian-arm: Makefile $(STAMP)/venv
	@if $(call debian,$(ARM_BENCH_PACKAGES),make bench-arm and its tests); then touch $@; fi

$(ARM_BENCH)/models/%.tflite: training/weights/%.safetensors | build
	$(BIN)/bitsr export $* --format tflite --output $(@D) --overwrite >/dev/null

ARM_KERNELS ?= auto
# By the emulator's name: without matrix products cortex-a76, without dot products cortex-a53.
ARM_PROCESSOR ?= max
# As for phones: clang. As for arm64 Linux: gcc.
ARM_COMPILER ?= clang
ARM_BENCH_BUILD := $(ARM_BENCH)/$(ARM_COMPILER)
ARM_BENCH_clang := -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=clang++ \
  -DCMAKE_CXX_COMPILER_TARGET=aarch64-linux-gnu
ARM_BENCH_gcc := -DCMAKE_TOOLCHAIN_FILE=$(CURDIR)/runtime/cmake/aarch64-linux-gnu.cmake
ARM_BENCH_VERSION_clang := clang++ --version
ARM_BENCH_VERSION_gcc := aarch64-linux-gnu-g++ --version
.PHONY: bench-arm
bench-arm: build $(STAMP)/debian-arm $(ARM_BENCH_MODELS:%=$(ARM_BENCH)/models/%.tflite)  ## counted instructions and modelled cycles of the arm64 kernels, no times; JSON in build/bench-arm; ARM_KERNELS="auto neon", ARM_COMPILER=gcc, ARM_PROCESSOR=cortex-a76
	$(CMAKE) -S runtime -B $(ARM_BENCH)/host $(ARM_BENCH_OPTIONS)
	$(CMAKE) --build $(ARM_BENCH)/host --target bitsr_block_counter
	$(CMAKE) -S runtime -B $(ARM_BENCH_BUILD) $(ARM_BENCH_OPTIONS) $(ARM_BENCH_$(ARM_COMPILER))
	$(CMAKE) --build $(ARM_BENCH_BUILD) --target bitsr_run_case
	$(BIN)/python -m bitsr.validation.arm --program $(ARM_BENCH_BUILD)/bench/bitsr_run_case \
	  --plugin $(ARM_BENCH)/host/bench/libbitsr_block_counter.so --compiler "$$($(ARM_BENCH_VERSION_$(ARM_COMPILER)) | head -1)" \
	  $(ARM_KERNELS:%=--kernel %) --processor $(ARM_PROCESSOR) --output $(ARM_BENCH_BUILD) binary gated head tail tail2 $(ARM_BENCH_MODELS:%=$(ARM_BENCH)/models/%.tflite)

.PHONY: lint
lint: $(STAMP)/packages  ## ruff, mypy and clang-format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(filter %.cpp %.h %.inc,$(NATIVE_SOURCES)) $(wildcard android_demo/engine/src/main/jni/*.[ch]*)

# The aarch64 wheels of both runtimes, unpacked: their libraries are linked and run under QEMU, never imported.
BITSR_ARM64_WHEELS ?= build/arm64-wheels
ARM64_PACKAGES := $(shell grep -E '^(executorch|ai-edge-litert)==' requirements.lock)

.PHONY: arm64-wheels
arm64-wheels: $(STAMP)/packages
	@if [ ! -d $(BITSR_ARM64_WHEELS)/executorch ] || [ ! -d $(BITSR_ARM64_WHEELS)/ai_edge_litert ]; then \
	  $(like_pip); $(UV_INSTALL) --target $(BITSR_ARM64_WHEELS) --no-deps --only-binary :all: \
	    --python-version 3.11 --python-platform aarch64-manylinux_2_28 $(ARM64_PACKAGES) \
	  || echo "the aarch64 wheels ($(ARM64_PACKAGES)) could not be fetched: bitsr-run for arm64 gets no ExecuTorch"; fi

.PHONY: arm64
arm64: $(STAMP)/packages $(STAMP)/debian-test arm64-wheels  ## cross-build for arm64 Linux: core tests, bitsr-run with both runtimes, delegate, backend
	@wheels=$(abspath $(BITSR_ARM64_WHEELS)); executorch=OFF; [ ! -d $$wheels/executorch ] || executorch=ON; set -x; \
	$(CMAKE) -S runtime -B build/arm64 -G Ninja -DCMAKE_BUILD_TYPE=Release -DBITSR_TESTS=ON -DBITSR_EXECUTORCH=$$executorch \
	  -DBITSR_EXECUTORCH_DIR=$$wheels/executorch -DBITSR_LITERT_DIR=$$wheels/ai_edge_litert \
	  -DCMAKE_TOOLCHAIN_FILE=$(CURDIR)/runtime/cmake/aarch64-linux-gnu.cmake
	$(CMAKE) --build build/arm64

# ---- Android, from PyPI (zig), Maven Central and npm; no SDK, and no NDK where ANDROID_NDK_HOME names none ----
ANDROID := build/android
ANDROID_ABIS := arm64-v8a x86_64
ZIG := ziglang==0.17.1
MAVEN_CENTRAL ?= https://repo1.maven.org/maven2
NPM_REGISTRY ?= https://registry.npmjs.org

.PHONY: android-runtimes
android-runtimes: $(STAMP)/packages  ## TensorFlow Lite and ExecuTorch for Android in build/android/runtimes
	@$(BIN)/python runtime/android/fetch.py $(ANDROID)/runtimes --maven $(MAVEN_CENTRAL) --npm $(NPM_REGISTRY)

$(STAMP)/zig: $(STAMP)/packages
	@$(like_pip); $(call fetch,$(UV_INSTALL) $(ZIG))
	@touch $@

ifdef ANDROID_NDK_HOME
ANDROID_TOOLCHAIN := -DCMAKE_TOOLCHAIN_FILE=$(ANDROID_NDK_HOME)/build/cmake/android.toolchain.cmake -DANDROID_PLATFORM=android-26 \
  -DANDROID_STL=c++_static
.PHONY: android-tools
android-tools:
else
ANDROID_TOOLCHAIN := -DCMAKE_TOOLCHAIN_FILE=$(CURDIR)/runtime/cmake/android-zig.cmake -DBITSR_ANDROID_TOOLS=$(CURDIR)/$(ANDROID)/tools
.PHONY: android-tools
android-tools: $(STAMP)/zig android-runtimes
	@$(BIN)/python runtime/android/sysroot.py $(ANDROID)/runtimes/bionic $(ANDROID)/tools
endif

# The first build makes the C++ library for both processors, some minutes of processor time; zig then keeps it.
$(STAMP)/debian-jni: Makefile $(STAMP)/venv
	@$(call debian,android-libnativehelper-dev,the JNI header of Android)
	@touch $@

.PHONY: android-runner
android-runner: $(STAMP)/packages $(STAMP)/debian-jni android-runtimes android-tools  ## bitsr-run, libbitsr.so, delegate and backend with both runtimes in build/android/ABI
	for abi in $(ANDROID_ABIS); do \
	  $(CMAKE) -S runtime -B $(ANDROID)/cmake/$$abi -G Ninja -DCMAKE_BUILD_TYPE=Release -DANDROID_ABI=$$abi $(ANDROID_TOOLCHAIN) \
	    -DBITSR_ANDROID_RUNTIMES=$(CURDIR)/$(ANDROID)/runtimes -DBITSR_EXECUTORCH=ON; \
	  $(CMAKE) --build $(ANDROID)/cmake/$$abi; \
	  $(CMAKE) --install $(ANDROID)/cmake/$$abi --component android --prefix $(ANDROID)/$$abi; \
	done

$(STAMP)/debian-java: Makefile $(STAMP)/venv
	@$(call debian,openjdk-17-jdk-headless maven,the Java side of Android)
	@touch $@

# A comma in an argument of a call.
, := ,

# maven(arguments): run it; where Maven Central can not be reached, one sentence instead of its pages.
define maven
	log=$(VENV)/maven.log; if ! mvn --batch-mode --quiet --no-transfer-progress $(1) >$$log 2>&1; then \
	  if grep -qiE 'could not transfer|unknown host|connection refused|unreachable|timed out' $$log; then \
	    echo "Maven Central can not be reached: connect to the network, or name a mirror or a proxy in" \
	      "~/.m2/settings.xml, and run make again; details: $$log" >&2; \
	  else cat $$log >&2; fi; exit 1; fi
endef

# A Java program with an emulated processor and Android 6's C library: `bitsr validate --on unidbg`, and tests.
$(ANDROID)/unidbg/.built: android_demo/unidbg/pom.xml $(shell find android_demo/unidbg/src -name '*.java') $(STAMP)/debian-java
	@$(call maven,--file android_demo/unidbg/pom.xml compile -Dbitsr.output=$(CURDIR)/$(ANDROID)/unidbg)
	@touch $@

.PHONY: android-unidbg
android-unidbg: $(ANDROID)/unidbg/.built  ## an Android 6 process on an emulated processor, in build/android/unidbg

# ---- The page: WebAssembly by zig, a static site in build/web/site ----
WEB := build/web
$(WEB)/tools/.made: $(STAMP)/zig Makefile
	@mkdir -p $(@D)
	@zig=$$($(BIN)/python -c "import ziglang, pathlib; print(pathlib.Path(ziglang.__file__).parent / 'zig')"); \
	for tool in "c++ -target wasm32-wasi" ar ranlib; do name=$(WEB)/tools/$${tool%% *}; \
	  printf '#!/bin/sh\nexec "%s" %s "$$@"\n' "$$zig" "$$tool" > $$name; chmod +x $$name; done
	@touch $@

# What runs the page in its tests, which skip without it.
$(STAMP)/debian-web: Makefile $(STAMP)/venv
	@if $(call debian,nodejs chromium,the tests of the page); then touch $@; fi

.PHONY: web-module
web-module: $(STAMP)/packages $(WEB)/tools/.made
	$(CMAKE) -S runtime -B $(WEB)/cmake -G Ninja -DCMAKE_BUILD_TYPE=Release -DBITSR_WASM_TOOLS=$(CURDIR)/$(WEB)/tools \
	  -DCMAKE_TOOLCHAIN_FILE=$(CURDIR)/runtime/cmake/wasm-zig.cmake
	$(CMAKE) --build $(WEB)/cmake

.PHONY: web
web: web-module artifacts  ## a static page that enlarges photos by WebAssembly, in build/web/site
	$(BIN)/python runtime/web/site.py $(WEB)/site --wasm $(WEB)/cmake/web/bitsr.wasm --artifacts bitsr/pretrained

# ---- The Android app: engine and app tested in this machine's JVM, APKs of both flavours, no Android SDK ----
APP := build/android
APP_PACKAGES := openjdk-17-jdk-headless maven aapt zipalign apksigner dexdump
# What the app is tested with, and what it carries beside.
TEST_MODELS := ebsr_light_plus_tiny_x2 ebsr_light_plus_tiny_x3 ebsr_light_plus_tiny_x4
APP_MODELS := ebsr_light_plus_x2 ebsr_light_plus_x3 ebsr_light_plus_x4
APP_SOURCES := $(shell find android_demo/engine/src android_demo/app/src -name '*.java' -o -name '*.xml' -o -name '*.properties') \
  $(wildcard android_demo/pom.xml android_demo/*/pom.xml android_demo/tools/*)
ASSET_SOURCES := $(wildcard training/weights/*.safetensors) $(shell find bitsr/artifact export training validation/parity -name '*.py') \
  validation/app_assets.py
LICENCES := $(shell find android_demo/app/src/main/assets -type f | tr ' ' '?')

# export_assets(models, folder): several at once, each a process of up to 2 GB.
define export_assets
	printf '%s\n' $(1) | xargs -P $(TEST_JOBS) -I MODEL $(BIN)/bitsr export MODEL --android --output $(2) --overwrite >/dev/null
endef

$(STAMP)/debian-app: Makefile $(STAMP)/venv
	@$(call debian,$(APP_PACKAGES),the Android app)
	@touch $@

$(APP)/test-assets/.exported: $(ASSET_SOURCES) | build
	$(call export_assets,$(TEST_MODELS),$(@D))
	@touch $@

$(APP)/test-assets/.made: $(APP)/test-assets/.exported $(LICENCES)
	rm -rf $(@D)/licences && cp -r android_demo/app/src/main/assets/licences $(@D)/licences
	@touch $@

$(APP)/assets/.exported: $(ASSET_SOURCES) | build
	$(call export_assets,$(APP_MODELS),$(@D))
	@touch $@

$(APP)/assets/.made: $(APP)/assets/.exported $(APP)/test-assets/.made
	cp -r $(APP)/test-assets/{models,golden,licences} $(@D)
	@touch $@

.PHONY: android-assets
android-assets: $(APP)/assets/.made  ## the models and golden inputs that the Android app carries, in build/android/assets

$(APP)/host/libbitsr_jni.so: $(wildcard android_demo/engine/src/main/jni/*) build/native/.built $(STAMP)/debian-app
	@mkdir -p $(@D)
	java="$$(dirname "$$(dirname "$$(readlink -f "$$(command -v javac)")")")"; \
	$(CXX) -std=c++17 -O2 -fPIC -shared -fvisibility=hidden -Wall -Wextra -Werror -I"$$java/include" -I"$$java/include/linux" \
	  -Iruntime/capi/include $(filter %.cpp,$^) -Lbuild/native/capi -lbitsr -Wl,-rpath,$(CURDIR)/build/native/capi -o $@

# Compiles, and fetches what Maven needs, so that the tests need no network: they run with --offline. A test of each module
# runs, because Maven fetches what runs tests with the first one.
$(APP)/.compiled: $(APP_SOURCES) $(APP)/host/libbitsr_jni.so $(APP)/test-assets/.made $(STAMP)/debian-app
	@$(call maven,--file android_demo/pom.xml -Dbitsr.build=$(CURDIR)/build -Dbitsr.python=$(CURDIR)/$(BIN)/python \
	  test -Dtest='UpscalerTest#wrongArgumentsAreRefused$(,)PreviewTest' -Dsurefire.failIfNoSpecifiedTests=false)
	@touch $@

.PHONY: android-host
android-host: build $(APP)/.compiled  ## what the tests of the Android app need

.PHONY: android
android: android-host android-runner android-unidbg android-assets  ## the Android app: all of its tests, and APKs of both flavours in build/android
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=$(TEST_JOBS) --dist=loadfile tests/android
	$(BIN)/python android_demo/tools/apk.py --flavour tflite --build $(APP) --output $(APP)/bitsr-tflite.apk
	$(BIN)/python android_demo/tools/apk.py --flavour both --build $(APP) --output $(APP)/bitsr-both.apk

# Debian's adbd for arm64, unpacked: with it `make test` tries the adb target on a device of its own.
.PHONY: adb-device
adb-device:  ## an arm64 userland with a genuine adbd in build/adbd, for the test of `bitsr validate --on adb:...`
	bash tests/validation/adb_device/fetch.sh build/adbd

FUZZ_SECONDS ?= 600
FUZZ_TARGETS := artifact program options texts upscale

.PHONY: fuzz
fuzz: $(STAMP)/packages $(STAMP)/debian-test  ## every fuzz target for FUZZ_SECONDS (600) under the sanitizers; findings in build/fuzz/findings
	$(CMAKE) -S runtime -B build/fuzz -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1 \
	  -DCMAKE_CXX_COMPILER=clang++ -DBITSR_FUZZ=ON -DBITSR_EXECUTORCH=OFF -DBITSR_TFLITE=OFF
	$(CMAKE) --build build/fuzz --target $(FUZZ_TARGETS:%=bitsr_fuzz_%)
	@mkdir -p build/fuzz/findings $(FUZZ_TARGETS:%=build/fuzz/found/%)
	for target in $(FUZZ_TARGETS); do \
	  build/fuzz/fuzz/bitsr_fuzz_$$target -max_total_time=$(FUZZ_SECONDS) -max_len=65536 -rss_limit_mb=2048 -print_final_stats=1 \
	    -artifact_prefix=build/fuzz/findings/ build/fuzz/found/$$target runtime/fuzz/corpus/$$target; done

# The .tflite of the weights in training/weights, which wheels carry.
PRETRAINED := bitsr/pretrained/.made
$(PRETRAINED): $(wildcard training/weights/*.safetensors) $(shell find bitsr/artifact export training -name '*.py') | build
	@mkdir -p $(@D)
	$(BIN)/python -m bitsr.export.pretrained
	@touch $@

.PHONY: artifacts
artifacts: $(PRETRAINED)  ## the .tflite of the embedded weights in bitsr/pretrained, for the wheels

# ExecuTorch and LiteRT are packages of their own, which the libraries find beside bitsr in site-packages.
DIST ?= dist
AUDITWHEEL := PATH="$(CURDIR)/$(BIN):$$PATH" auditwheel repair --exclude 'libexecutorch*.so' --wheel-dir $(DIST)
# What `bitsr validate --on adb:...` brings to a device, in the wheel.
PACK_ANDROID := $(BIN)/python -m bitsr.validation.targets.pack_android
UV_BUILD := PATH="$(CURDIR)/$(BIN):$$PATH" uv build --no-build-isolation --python $(BIN)/python

.PHONY: wheel
wheel: $(PRETRAINED) $(STAMP)/packages $(STAMP)/debian-build android-runner  ## wheel for this machine and source archive, with artifacts and Android runners, in dist
	$(BIN)/python -m bitsr.export.pretrained --check
	rm -rf build/dist bitsr/runtime/android
	$(UV_BUILD) --sdist --out-dir $(DIST)
	$(PACK_ANDROID)
	$(UV_BUILD) --wheel --out-dir build/dist
	$(AUDITWHEEL) build/dist/*.whl
	@ls -l $(DIST)

.PHONY: wheel-arm64
wheel-arm64: $(PRETRAINED) $(STAMP)/packages $(STAMP)/debian-test arm64-wheels android-runner  ## the wheel for arm64 Linux, cross-built, in dist
	rm -rf build/dist-arm64
	$(PACK_ANDROID)
	_PYTHON_HOST_PLATFORM=linux-aarch64 CMAKE_ARGS="-DBITSR_EXECUTORCH=ON \
	  -DBITSR_EXECUTORCH_DIR=$(abspath $(BITSR_ARM64_WHEELS))/executorch -DBITSR_LITERT_DIR=$(abspath $(BITSR_ARM64_WHEELS))/ai_edge_litert \
	  -DCMAKE_TOOLCHAIN_FILE=$(CURDIR)/runtime/cmake/aarch64-linux-gnu.cmake" \
	  $(UV_BUILD) --wheel --config-setting build-dir=build/wheel-arm64 --out-dir build/dist-arm64
	$(AUDITWHEEL) build/dist-arm64/*.whl
	@ls -l $(DIST)

.PHONY: clean
clean:  ## remove build products; the virtual environment stays
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f $(STAMP)/editable
	rm -rf bitsr/pretrained bitsr/runtime/android

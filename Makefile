# A thin front on the CMake presets; `cmake --preset release` and so on work without it.
# PRESET=debug, sanitize or ci builds and tests another way;  make test ARGS="-R npy"  passes arguments to ctest.
PRESET ?= release
ARGS ?=

.PHONY: build demo test sanitize benchmarks lint format install-needs clean help

build: install-needs  ## configure and build everything into build/PRESET
	@cmake --preset $(PRESET) $(if $(wildcard build/$(PRESET)/CMakeCache.txt),--log-level=NOTICE)
	@cmake --build --preset $(PRESET)

demo: install-needs  ## make a data set, train on it, and leave embeddings and recommendations in demo/
	@cmake --preset release --log-level=NOTICE
	@cmake --build --preset release --target dream_cli
	@examples/demo.sh build/release/bin/dream demo

test: build  ## build and run all tests
	@ctest --preset $(PRESET) $(ARGS)

sanitize:  ## the tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@$(MAKE) --no-print-directory test PRESET=sanitize

benchmarks: ## build the benchmarks into build/release/bin
	@.ci/install benchmarks
	@cmake --preset release -DDREAM_BUILD_BENCHMARKS=ON --log-level=NOTICE
	@cmake --build --preset release

lint:  ## check the format (clang-format) and the code (clang-tidy)
	@.ci/install lint
	@.ci/lint

format:  ## put every source into the agreed format
	@.ci/install lint
	@git ls-files '*.hpp' '*.cpp' '*.cuh' '*.cu' | xargs clang-format -i

install-needs:
	@.ci/install

clean:  ## remove build/ and demo/
	@rm -rf build demo

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

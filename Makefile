# A thin front on the CMake presets; `cmake --preset release` and so on work without it.
# make test ARGS="-R npy" passes arguments to ctest; PRESET=debug, sanitize or ci builds and tests another way.
ARGS ?=
LABELS ?= unit|kernels|program
TARGETS ?= dream_unit_tests dream_kernel_tests dream_program_tests dream_fuzz

.PHONY: build demo test test-all sanitize fuzz benchmarks lint format install-needs clean help

build: PRESET = release
build: install-needs  ## the program and the examples, optimised, into build/release
	@$(configure)
	@cmake --build --preset $(PRESET)

demo: install-needs  ## make a data set, train on it, and leave embeddings and recommendations in demo/
	@cmake --preset demo --log-level=NOTICE
	@cmake --build --preset demo --target dream_cli
	@examples/demo.sh build/demo/bin/dream demo

test: PRESET = test
test: install-needs  ## build and run the tests of the labels unit, kernels and program
	@$(configure)
	@cmake --build --preset $(PRESET) --target $(TARGETS)
	@ctest --preset $(PRESET) -L '^($(LABELS))$$' $(ARGS)

test-all:  ## build and run all tests: also exhaustive, packaging and gpu
	@$(MAKE) --no-print-directory test TARGETS='all dream_emulated' LABELS='.*'

sanitize:  ## the tests of the library and of its kernels under AddressSanitizer and UndefinedBehaviorSanitizer
	@$(MAKE) --no-print-directory test PRESET=sanitize TARGETS='dream_unit_tests dream_kernel_tests dream_fuzz' LABELS='unit|kernels'

fuzz:  ## a minute of libFuzzer for each reader (needs clang++ with its sanitizers); findings go to build/fuzz
	@CXX=clang++ cmake --preset fuzz --log-level=NOTICE
	@cmake --build --preset fuzz --target dream_fuzz
	@for reader in $$(ls tests/fuzz/corpus); do mkdir -p build/fuzz/corpus/$$reader && DREAM_FUZZ=$$reader build/fuzz/bin/dream_fuzz \
	  -max_total_time=60 -rss_limit_mb=4096 -timeout=20 -verbosity=0 -artifact_prefix=build/fuzz/$$reader- \
	  build/fuzz/corpus/$$reader tests/fuzz/corpus/$$reader 2>build/fuzz/$$reader.log || { tail -n 40 build/fuzz/$$reader.log; exit 1; }; done

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

# ccache is used where it is installed.
configure = cmake --preset $(PRESET) $(if $(wildcard build/$(PRESET)/CMakeCache.txt),--log-level=NOTICE) \
  $(if $(shell command -v ccache),-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_CUDA_COMPILER_LAUNCHER=ccache)

clean:  ## remove build/ and demo/
	@rm -rf build demo

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

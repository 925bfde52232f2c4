# Everything sets itself up in .venv; `make demo` and `make test` need nothing typed before them.
PYTHON ?= python3
VENV := .venv
comma := ,
BIN := $(VENV)/bin
SETUP := $(VENV)/.ready
C_FILES := $(wildcard csrc/*.[ch] csrc/*.def csrc/*/*.[ch])

C_SOURCES := $(wildcard csrc/*.c csrc/*/*.c tests/c/*.c)

.PHONY: test check bench demo parity clean arm sanitize

$(SETUP): pyproject.toml setup.py $(wildcard ruvllm_mcp/native/build.py) $(C_FILES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

test: $(SETUP) check
	$(BIN)/python -m pytest

# Peers too heavy for every run: other people's MCP clients, reference implementations. Needs the package registries.
parity: $(SETUP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,parity]'
	$(BIN)/python -m pytest tests/parity

# The README's figures of speed, each beside its peers in the same run. Takes minutes; wants an idle machine.
bench: $(SETUP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,bench]'
	$(BIN)/python benchmarks/simd.py
	$(BIN)/python benchmarks/memory.py --sizes 1000,10000,100000
	$(BIN)/python benchmarks/mcp.py

check: $(SETUP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

demo: $(SETUP)
	$(BIN)/python examples/demo.py

# The C tests, once for each way of compiling: $(1) names it, $(2) compiles, $(3) has the last word.
define c_tests
.build/$(1)/csrc/%.o: csrc/%.c $(C_FILES) csrc/cflags
	@mkdir -p $$(@D)
	$(2) @csrc/cflags -Werror $(3) -c $$< -o $$@

.build/$(1)/tests/%.o: tests/%.c tests/c/check.h $(C_FILES) csrc/cflags
	@mkdir -p $$(@D)
	$(2) @csrc/cflags -Werror -O1 -Icsrc -c $$< -o $$@

.build/$(1)/check: $(C_SOURCES:%.c=.build/$(1)/%.o)
	$(2) $$^ -lm -o $$@
endef
$(eval $(call c_tests,native,$(CC)))
$(eval $(call c_tests,sanitize,$(CC) -g1 -fsanitize=address$(comma)undefined -fno-sanitize-recover=all,-O1))
$(eval $(call c_tests,arm,aarch64-linux-gnu-gcc -static))

# The kernels under the address and undefined-behaviour sanitisers.
sanitize: .build/sanitize/check
	.build/sanitize/check

# The kernels where this machine cannot run them: 64-bit Arm with and without dot products, and an x86 CPU with no more
# than SSE4.2, which stops at any instruction beyond.
EMULATION := gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
arm:
	@command -v aarch64-linux-gnu-gcc qemu-aarch64 qemu-x86_64 >/dev/null || \
		{ test $$(id -u) = 0 && apt-get install -y -q $(EMULATION); } || \
		{ echo "Needs a cross compiler and an emulator: apt-get install $(EMULATION)" >&2; exit 1; }
	$(MAKE) .build/arm/check .build/native/check
	qemu-aarch64 -cpu max .build/arm/check
	qemu-aarch64 -cpu cortex-a53 .build/arm/check neon
	test $$(uname -m) != x86_64 || qemu-x86_64 -cpu Nehalem .build/native/check

clean:
	rm -rf $(VENV) build dist .build *.egg-info .mypy_cache .ruff_cache .pytest_cache
	find . -name '*.so' -not -path './$(VENV)/*' -delete

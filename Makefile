# Two commands do everything on a machine with Rust and Python >= 3.10: `make demo`, `make test`.
PYTHON ?= python3
VENV := .venv
VENV1 := .venv-polars-1
VENV130 := .venv-polars-1.30
VENVB := .venv-bench
DIST := target/wheels
# Always both crates, always in release: then tests, lint and wheel share every compiled dependency.
BOTH := -p genias -p genias-polars
# Test files run on all cores; the tests of one file stay in one process.
WORKERS := -n auto --dist loadfile
# What maturin tells PyO3; with other values PyO3, and Polars after it, would be compiled again.
AS_WHEEL = PYO3_BUILD_EXTENSION_MODULE=1 \
	PYO3_CONFIG_FILE=$$(ls $(CURDIR)/target/maturin/pyo3-config-*.txt | head -n 1)
SOURCES := $(shell find src plugin/src python -name '*.rs' -o -name '*.py' -o -name '*.pyi') \
	Cargo.toml Cargo.lock plugin/Cargo.toml pyproject.toml README.md

.PHONY: demo test test-rust test-python test-many lint docs site-check links release-check bench clean
.DEFAULT_GOAL := demo

demo: $(VENV)/ready
	$(VENV)/bin/python -m polars_genias.demo demo-output

test: test-rust test-python

# `cargo test` builds the examples too; `cargo run` takes one package and would build it with other features.
test-rust:
	cargo test --release $(BOTH)
	$${CARGO_TARGET_DIR:-target}/release/examples/augment
	$${CARGO_TARGET_DIR:-target}/release/examples/parquet

test-python: $(VENV)/ready $(VENV1)/ready $(VENV130)/ready
	$(VENV)/bin/python -m pytest $(WORKERS) -m "not alone and not many"
	$(VENV)/bin/python -m pytest -m alone
	$(VENV1)/bin/python -m pytest $(WORKERS) -m "not slow and not once and not many"
	$(VENV130)/bin/python -m pytest $(WORKERS) -m "not slow and not once and not many"

# Hundreds of random trials of what `make test` tries some of.
test-many: $(VENV)/ready
	$(VENV)/bin/python -m pytest -m many

lint: $(VENV)/ready
	cargo fmt --all --check
	$(AS_WHEEL) cargo clippy --release $(BOTH) --all-targets -- -D warnings
	$(AS_WHEEL) RUSTDOCFLAGS="-D warnings" cargo doc --release $(BOTH) --no-deps
	$(VENV)/bin/python tests/structure.py
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/codespell *.md benches docs examples plugin/src python src tests tools

# The documentation as a site in site/; a warning is an error.
docs: $(VENV)/ready
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --quiet --strict

# The built site in a headless browser: phone and laptop, light and dark. BROWSER=/usr/bin/chromium
site-check: docs
	$(VENV)/bin/python -m pip install --quiet "playwright>=1.50,<2"
	$(VENV)/bin/python tests/site_check.py $(if $(BROWSER),--browser $(BROWSER)) --shots site-shots

# Ask the network for every external link of README and docs.
links: $(VENV)/ready
	$(VENV)/bin/python tests/python/links.py

# What a release has to pass beyond lint and test (docs/release.md); needs a clean tree.
release-check: lint test test-many docs
	$(VENV)/bin/python tests/release_check.py $(DIST)

# Kernels beside their composed twins, then the package beside PyTorch (some 15 minutes).
bench: $(VENVB)/ready
	$(AS_WHEEL) cargo bench $(BOTH) --bench kernels
	$(VENVB)/bin/python benches/compare_torch.py
	$(VENVB)/bin/python benches/whole_job.py --groups 10

clean:
	rm -rf target site site-shots typings $(VENV) $(VENV1) $(VENV130) $(VENVB) demo-output

# One wheel for every Python (abi3), installed into an environment per Polars version.
$(DIST)/built: $(SOURCES)
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip "maturin>=1.9,<2"
	rm -rf $(DIST)
	$(VENV)/bin/maturin build --release --out $(DIST)
	touch $@

define install
	test -x $(1)/bin/python || $(PYTHON) -m venv $(1)
	$(1)/bin/python -m pip install --quiet --upgrade pip
	$(1)/bin/python -m pip install --quiet --no-compile "$$(echo $(DIST)/polars_genias-*.whl)[$(2)]" "$(3)"
	$(1)/bin/python -m pip install --quiet --force-reinstall --no-deps $(DIST)/polars_genias-*.whl
	touch $(1)/ready
endef

$(VENV)/ready: $(DIST)/built
	$(call install,$(VENV),plot$(comma)test$(comma)lint$(comma)docs$(comma)spark$(comma)etl$(comma)store,polars)

$(VENV1)/ready: $(DIST)/built
	$(call install,$(VENV1),test,polars<2)

$(VENV130)/ready: $(DIST)/built
	$(call install,$(VENV130),test,polars==1.30.*)

$(VENVB)/ready: $(DIST)/built
	$(call install,$(VENVB),bench,polars)

comma := ,

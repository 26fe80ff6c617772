# One door. `make report` and `make test` work on a machine with nothing but Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.phiscope-installed
WORKERS ?= 2
# Tests start hundreds of processes, and each would compile the package anew.
export PYTHONDONTWRITEBYTECODE :=
# One more than a small machine has cores: tests wait for browsers and for processes that they start.
TESTERS ?= 3
# Who is done takes from the others: else one works on alone at the end.
PYTEST := $(BIN)/python -m pytest -n $(TESTERS) --dist worksteal -q
SOURCES := $(shell find src -name '*.py')

# Small matrices want one thread: beside a busy neighbor, several threads made digits-fcn ten times slower.
export OMP_NUM_THREADS ?= 1

.PHONY: help setup report reproduction test test-slow bench judged undisturbed lint check docs site format clean looking wheel lowest theory
.DELETE_ON_ERROR:

help:
	@echo "make setup      an environment in .venv, with everything"
	@echo "make report     set up, train digits-cnn and digits-fcn, print the page's path"
	@echo "make test       set up, run the tests"
	@echo "make test-slow  the tests that train for minutes"
	@echo "make reproduction  every family at small scale (some six core hours), and its docs page"
	@echo "make bench      speed and memory beside the floors and the peers: docs/evidence/speed.md, about half an hour"
	@echo "make judged     what others' suites assert, and where others' numbers differ: docs/evidence/judged.md, a minute"
	@echo "make undisturbed  whether observers change a training, in many settings: docs/evidence/undisturbed.md, ten minutes"
	@echo "make site       the documentation as a folder that opens without a server: build/site"
	@echo "make looking    how fast page and view follow a reader, in a browser: docs/evidence/looking.md, ten minutes"
	@echo "make wheel      wheel and sdist, each tried in a bare environment: build/release"
	@echo "make lowest     the tests with the lowest versions that pyproject.toml allows"
	@echo "make theory     the theory of kernels against networks: docs/evidence/theory.md, two minutes"
	@echo "make docs       the table of numbers and definitions.json, from the definition rows"
	@echo "make format     style and imports put right"
	@echo "make lint       format check, lint, types, import contract"
	@echo "make check      lint and test"
	@echo "make clean      what was built and cached goes; .venv, runs and reports stay"

setup: $(STAMP)

# The stamp makes the second time quick; it is made anew when a dependency changes.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "phiscope needs Python 3.11 or newer; choose one with: make PYTHON=python3.12 ..." >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
		{ echo "python -m venv failed; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 2; }
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[all,dev]'
	@touch $@

# What `phiscope run` printed is kept: the line "run: FOLDER" names the run the page is made of.
runs/.printed-%: $(STAMP) $(SOURCES)
	@mkdir -p runs
	$(BIN)/phiscope run $* --out runs > $@

reports/digits.html: runs/.printed-digits-cnn runs/.printed-digits-fcn
	@mkdir -p reports
	$(BIN)/phiscope report $$(sed -n 's/^run: //p' $^) -o $@ >/dev/null

report: reports/digits.html
	@echo "page: $(CURDIR)/reports/digits.html"

# What was trained before is not trained again; the page is made of all that is there.
reproduction: $(STAMP)
	$(BIN)/phiscope reproduce --jobs $(WORKERS) --docs docs/evidence

test: $(STAMP)
	$(PYTEST) -m "not slow"

test-slow: $(STAMP)
	$(PYTEST) -m slow

# The peers have an environment of their own: what they pull in is nobody else's business.
BENCH := .venv-bench
$(BENCH)/.installed: pyproject.toml constraints.txt
	@test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install -q -c constraints.txt -e '.[bench]'
	@# Without what they ask for: the torchvision they bring does not fit every build of torch, and breaks torchmetrics then.
	$(BENCH)/bin/python -m pip install -q --no-deps 'ckatorch>=1.0' 'kowalski>=0.0.2' 'monai>=1.6' 'pytorch-cka>=1.1' \
		'reptrix>=0.1' 'torch-cka>=0.21' 'traintools>=0.6.2'
	@touch $@

bench: $(BENCH)/.installed
	$(BENCH)/bin/python benchmarks/speed.py $(ARGS)

# A package that is not installed is a value that is missing from the page, and the command fails.
judged: $(BENCH)/.installed
	$(BENCH)/bin/python benchmarks/judged.py $(ARGS)

# Frameworks that are not installed end up on the page as settings that did not end, and the command fails.
undisturbed: $(STAMP)
	$(BIN)/python benchmarks/undisturbed.py $(ARGS)

# A target that is missed ends up on the page, too, and the command fails.
looking: $(STAMP)
	$(BIN)/python benchmarks/view.py --out docs/evidence $(ARGS)

theory: $(STAMP)
	$(BIN)/python benchmarks/theory.py $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

# The table of every number and the file that text commands read, from the definition rows; tests keep both up to date.
docs: $(STAMP)
	$(BIN)/python docs/make_definitions.py

# Who only tests needs no Sphinx, and so it comes with an extra of its own.
SITE := $(VENV)/.phiscope-site
$(SITE): $(STAMP)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[site]'
	@touch $@

# Runs every example for its picture: two minutes, and seconds afterwards.
site: $(SITE)
	$(BIN)/python docs/site/build.py

wheel:
	$(PYTHON) packaging/try_release.py

# Every dependency at its lower bound but torch, which stays the one of constraints.txt; in an environment of its own.
# Without trackio, whose huggingface_hub is newer than the oldest transformers can have: it would lift half of the others.
LOWEST := .venv-lowest
LOWEST_EXTRAS := report figures studies hf xarray dask zarr parquet tensorboard wandb mlflow replay view \
	lightning transformers accelerate keras dev
$(LOWEST)/.installed: pyproject.toml constraints.txt
	@test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install -q --no-deps -c constraints.txt torch uv
	@# What an earlier run wrote there would be preferred to what is lowest.
	@rm -f $(LOWEST)/all.txt
	$(LOWEST)/bin/uv pip compile -q --resolution lowest-direct -c constraints.txt $(addprefix --extra ,$(LOWEST_EXTRAS)) \
		--no-annotate -o $(LOWEST)/all.txt pyproject.toml >/dev/null
	@# The torch that is there stays, and brings no drivers along.
	@grep -vE '^(torch|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)==' $(LOWEST)/all.txt > $(LOWEST)/lowest.txt
	$(LOWEST)/bin/uv pip install -q --python $(LOWEST)/bin/python --no-deps -r $(LOWEST)/lowest.txt -e .
	@touch $@

# The lowest version of a tool would judge our code by its own age: types and style are checked elsewhere.
# What old libraries call that new ones below them no longer like to hear is not our affair.
lowest: $(LOWEST)/.installed
	$(LOWEST)/bin/python -m pytest -n $(TESTERS) -q -m "not slow" -W ignore::DeprecationWarning $(ARGS)

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

.DEFAULT_GOAL := help
.PHONY: help run setup dev tpu system check fix test gpu-check constraints
# Two workers: most tests wait for a process to import a framework, which takes one core.
# One at a time, to look into a failure: make test PYTEST_ARGS="-x"
PYTEST_ARGS ?= -n 2 --dist loadfile --no-loadscope-reorder
export PYTHON

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile

run: setup ## Set up what is missing, then start the dashboard
	@exec .venv/bin/python -m dashboard

test: system check ## Run every check, then every test, with coverage
	@sh bin/setup tpu || echo "Tests that need the TPU's compiler are skipped." >&2
	@exec .venv/bin/python -m pytest $(PYTEST_ARGS) --cov

check: dev ## Formatting, lint, types and import rules
	@sh bin/check

fix: dev ## Format the code and mend what ruff can mend
	@.venv/bin/ruff check --fix; .venv/bin/ruff format

gpu-check: dev ## Run the tests that need an NVIDIA GPU
	@sh bin/gpu-check

constraints: dev ## Pin again what requirements*.txt need in turn
	@.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header \
		requirements.txt requirements-dev.txt --output-file constraints.txt

setup:
	@sh bin/setup

dev:
	@sh bin/setup dev

tpu: ## Set up the TPU's compiler, for tpu-check
	@sh bin/setup tpu

system:
	@sh bin/setup system

# Two commands: `make lab` to work, `make test` to check. Everything else is below.
PYTHON ?= python3
PY = .venv/bin/python
PORT ?= 8888
ARGS ?=
# a folder made by `make wheelhouse`: everything is installed from there, nothing from a network
WHEELHOUSE ?=
ifneq ($(WHEELHOUSE),)
export PIP_NO_INDEX = 1
export PIP_FIND_LINKS = $(abspath $(WHEELHOUSE))
export PIP_EXTRA_INDEX_URL =
endif

.DEFAULT_GOAL := help
.PHONY: help setup lab test course check lock publish wheelhouse site slides clean

help: ## show this list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-12s%s\n", $$1, $$2}' Makefile

setup: ## create or repair .venv from requirements/lock.txt
	@$(PYTHON) tools/setup.py

lab: setup ## open the notebooks in JupyterLab (PORT=8888)
	@echo "JupyterLab starts; if no browser opens, use the address with the token. Ctrl-C twice stops it."
	@$(PY) -m jupyter lab --ip=localhost --port=$(PORT) --ServerApp.root_dir="$(CURDIR)" --log-level=WARN \
		$(if $(filter 0,$(shell id -u)),--allow-root) \
		--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb $(ARGS)

test: setup ## unit tests (ARGS="-k name" chooses)
	@$(PY) -m pytest $(ARGS)

course: setup ## run every built notebook (ARGS="--jobs 2": two at a time)
	@$(PY) tools/build_notebooks.py --run-all $(ARGS)

check: setup ## lint, notebooks fresh, links, coverage map, data as generated, figures
	@$(PY) -m ruff check .
	@$(PY) tools/build_notebooks.py --check
	@$(PY) tools/check.py
	@$(PY) tools/make_support_triage.py --check
	@$(PY) tools/make_dirty_export.py --check
	@$(PY) tools/make_product_facts.py --check
	@$(PY) tools/make_lessons.py --check
	@$(PY) tools/make_replay.py --check
	@$(PY) tools/make_probe.py --check
	@$(PY) tools/make_small_tasks.py --check
	@$(PY) tools/make_other_shapes.py --check
	@$(PY) tools/make_brand_voice.py --check
	@$(PY) tools/make_medical_coding.py --check
	@$(PY) tools/make_exam.py --check
	@$(PY) tools/host_times.py --check
	@$(PY) tools/measure_nano.py --check-probe
	@$(PY) tools/record_run.py --check

lock: setup ## resolve pyproject.toml into requirements/lock.txt (ARGS=--upgrade: newest)
	@$(PY) tools/setup.py lock $(ARGS)

publish: setup ## badges and first cells for Colab (REPO=owner/name; none takes them away)
	@$(PY) tools/publish.py "$(REPO)"

wheelhouse: setup ## a folder that installs the course without a network (TO=/media/usb/ftlab)
	@$(PY) tools/wheelhouse.py "$(TO)"

# what makes pages of the notebooks has a small environment of its own: a learner does not need it
.venv-reading/done: requirements/reading.txt
	@$(PYTHON) -m venv .venv-reading
	@.venv-reading/bin/python -m pip install --quiet --no-compile --no-deps --requirement requirements/reading.txt
	@touch $@

site: .venv-reading/done ## the course as pages to read, nothing is run: build/site/README.html
	@.venv-reading/bin/python -m sphinx -q -W --keep-going -c tools/reading -d build/site-kept . build/site
	@echo "open build/site/README.html"

slides: .venv-reading/done ## slides made of the notebooks: build/slides/index.html
	@.venv-reading/bin/python tools/reading/slides.py

clean: ## remove environments, caches and what was built; runs/ stays
	rm -rf .venv .venv-reading .pytest_cache .ruff_cache .hypothesis build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

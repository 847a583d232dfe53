# The course and its package. `make help` says what there is.
unexport PYTHONPATH
export PYTHONNOUSERSITE = 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export TF_CPP_MIN_LOG_LEVEL = 3

PY := .venv/bin/python
INSTALLED := .venv/.installed
UV := .venv/bin/uv
ADAPTERS := .venv-adapters/.installed
BROWSER := .venv/.installed-browser
BOOK := .venv-book/.installed
# Figures in the notebook, and no progress bars: whether one shows depends on what is made already.
NOTEBOOK := MPLBACKEND=module://matplotlib_inline.backend_inline TQDM_DELAY=1000000000

.DEFAULT_GOAL := help
.PHONY: help setup run plan test fuzz kills test-core test-adapters test-browser screenshots book lab notebooks badges bench pretrain lock clean

help: ## show this list
	@echo "make TARGET, with PYTHON=/path/to/python3.11 where the right Python is not found by itself"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1#\2/p' Makefile | awk -F'#' '{ printf "%-15s%s\n", $$1, $$2 }'

setup: $(INSTALLED) ## make .venv with the locked versions (the targets below do it themselves)

run: plan $(INSTALLED) ## execute the notebooks in order into runs/
	@$(PY) -m instanceid_utils.course run

plan:
	@echo "The course from beginning to end: about 8 minutes on two cores, of which 2 to 3 are the"
	@echo "packages, once; 3 GB of disk in this folder. The first picture comes after a minute more."

test: $(INSTALLED) ## ruff, order of imports, types, unit tests, doctests, notebooks as stored
	@$(PY) -m ruff check . && lint=ok || lint=FAILED; \
	$(PY) -m ruff format --check . && format=ok || format=FAILED; \
	.venv/bin/lint-imports && imports=ok || imports=FAILED; \
	$(PY) -m mypy && types=ok || types=FAILED; \
	MPLBACKEND=Agg $(PY) -m pytest tests instanceid_utils --doctest-modules \
	  && unit=ok || unit=FAILED; \
	$(NOTEBOOK) $(PY) -m pytest notebooks \
	  --nbval --nbval-current-env --nbval-sanitize-with tests/nbval_sanitize.cfg \
	  && course=ok || course=FAILED; \
	echo "ruff $$lint, format $$format, imports $$imports, types $$types," \
	  "unit tests $$unit, notebooks $$course"; \
	case $$lint$$format$$imports$$types$$unit$$course in *FAILED*) exit 1 ;; esac

fuzz: $(INSTALLED) ## 20,000 changed files for each reader; some minutes
	@INSTANCEID_FUZZ=20000 $(PY) -m pytest tests/test_fuzz.py -q

kills: $(INSTALLED) ## an archive whose build is killed at 50 random instants; some minutes
	@INSTANCEID_ARCHIVE_KILLS=50 $(PY) -m pytest tests/archive/test_workers.py -q -k killed_at_random

# The package alone in a fresh environment, as beside other people's models: no TensorFlow.
test-core: $(INSTALLED) ## what tracks, with the newest packages and with the oldest it allows
	@for resolution in highest lowest-direct; do \
	  echo "== $$resolution"; \
	  $(UV) venv --quiet --clear --python $(PY) .venv-core \
	    && $(UV) pip install --quiet --python .venv-core/bin/python --resolution $$resolution \
	      . pytest==8.4.2 hypothesis==6.141.1 \
	    && $(UV) pip check --quiet --python .venv-core/bin/python \
	    && .venv-core/bin/python -m pytest tests || exit 1; \
	done

test-adapters: $(ADAPTERS) ## results of Ultralytics, torchvision and supervision (installs torch)
	@YOLO_CONFIG_DIR=.venv-adapters .venv-adapters/bin/python -m pytest tests_adapters

test-browser: $(BROWSER) ## notebooks and tracker widget in JupyterLab and Chromium, by mouse
	@CHROMIUM=$$(sh tools/find_chromium.sh) && export CHROMIUM \
	  && $(PY) -m pytest tests_browser $(if $(SCREENSHOTS),--screenshots $(SCREENSHOTS))

screenshots: ## the same, and renew the pictures of the README
	@$(MAKE) test-browser SCREENSHOTS=docs

book: $(BOOK) ## the notebooks, the API and the benchmarks as one book: build/book/html/index.html
	@.venv-book/bin/python tools/make_book.py

lab: $(INSTALLED) ## open JupyterLab on the course's index; LAB="--no-browser --port=9999" hands it options
	@$(PY) -m jupyterlab --LabApp.app_settings_dir=tools/lab \
	  --LabApp.default_url=/lab/tree/notebooks/index.md $(LAB)

notebooks: $(INSTALLED) ## execute the notebooks in place: renews all committed outputs
	@$(PY) -m instanceid_utils.course regenerate

badges: $(INSTALLED) ## write what opens the notebooks in Colab and Binder, by REPOSITORY in tools/badges.py
	@$(PY) tools/badges.py

bench: $(INSTALLED) ## run every benchmark
	@failed=; for script in benchmarks/bench_*.py; do \
	  echo "== $$script"; $(PY) $$script || failed="$$failed $$script"; \
	done; [ -z "$$failed" ] || { echo "failed:$$failed" >&2; exit 1; }

pretrain: $(INSTALLED) ## train the shipped weights again (hours; goes on where it was stopped)
	@$(PY) -m instanceid_utils.training.pretrain

lock: | .venv/bin/uv ## write requirements.lock anew from pyproject.toml
	@.venv/bin/uv pip compile pyproject.toml --all-extras --universal --python-version 3.9 \
	  --generate-hashes --custom-compile-command "make lock" --quiet --output-file requirements.lock
	@.venv/bin/uv pip compile --group browser --constraint requirements.lock --universal \
	  --python-version 3.9 --generate-hashes --custom-compile-command "make lock" --quiet \
	  --output-file tests_browser/requirements.lock
	@.venv/bin/uv pip compile --group book --python-version 3.9 --universal \
	  --generate-hashes --custom-compile-command "make lock" --quiet \
	  --output-file docs/book/requirements.lock

$(BOOK): docs/book/requirements.lock
	@python=$$(sh tools/find_python.sh "$(PYTHON)") && rm -rf .venv-book \
	  && "$$python" -m venv .venv-book
	@.venv-book/bin/python -m pip install --quiet --require-hashes --no-deps \
	  -r docs/book/requirements.lock
	@touch $@

clean: ## remove .venv, runs/, generated data and caches; downloads under data/ stay
	rm -rf .venv .venv-core .venv-adapters .venv-book runs data/generated build dist
	rm -rf .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/uv:
	@$(MAKE) $(INSTALLED)

# pip takes a file only if its hash stands in the lock. The lock is complete, so nothing is left to
# resolve (`--no-deps`: older pips trip over extras there), and `pip check` proves it. What is there
# already pip passes over, so a half-made .venv is completed; one that does not work is made anew.
$(INSTALLED): requirements.lock pyproject.toml
	@if ! { $(PY) tools/setup_check.py && $(PY) -m pip --version; } >/dev/null 2>&1; then \
	  python=$$(sh tools/find_python.sh "$(PYTHON)") || exit 1; \
	  echo "Making .venv with $$python"; \
	  rm -rf .venv; \
	  "$$python" -m venv .venv; \
	fi
	@echo "Installing the locked packages (2 to 3 minutes)"
	@$(PY) -m pip install --quiet --require-hashes --no-deps -r requirements.lock
	@$(PY) -m pip install --quiet --no-deps --no-build-isolation --editable .
	@$(PY) -m pip check
	@touch $@

$(BROWSER): $(INSTALLED) tests_browser/requirements.lock
	$(PY) -m pip install --require-hashes --no-deps -r tests_browser/requirements.lock
	$(PY) -m pip check
	@touch $@

# Ultralytics brings an OpenCV with windows over ours, which needs libraries that servers lack.
$(ADAPTERS): tests_adapters/requirements.txt pyproject.toml | $(INSTALLED)
	$(PY) -m venv .venv-adapters
	.venv-adapters/bin/python -m pip install --quiet -r tests_adapters/requirements.txt .
	.venv-adapters/bin/python -m pip install --quiet --force-reinstall --no-deps opencv-python-headless
	@touch $@

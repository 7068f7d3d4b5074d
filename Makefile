# `make demo` and `make test` do all set-up on a bare Debian 12 or Ubuntu 24.04; see README.md.
# PYTHON=python3.12 chooses the interpreter, ARGS='--say "touch the blue target"' reaches the demo.

BIN := .venv/bin
READY := .venv/.ready
PACKAGES := sdiwm_model sdiwm_sim sdiwm_ros

.PHONY: demo test lint weights clean

demo: $(READY)
	$(BIN)/sdiwm demo $(ARGS)

test: lint
	$(BIN)/pytest $(ARGS)

lint: $(READY) build/typing
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy $(PACKAGES:%=--package %)

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

# One stamp for all set-up: made again only when what is to be installed has changed.
$(READY): pyproject.toml setup.py constraints.txt .ci/setup.sh
	PYTHON="$(PYTHON)" .ci/setup.sh
	touch $@

# mypy finds the packages by folder name, and sim/ is installed as sdiwm_sim.
build/typing:
	mkdir -p $@
	ln -sfn ../../sdiwm_model ../../sdiwm_ros $@
	ln -sfn ../../sim $@/sdiwm_sim

# The shipped weights, from nothing, in under half an hour on two cores. Three rounds: scripted and
# random motion first; then also what the model's own planner does, where it errs, twice.
WEIGHTS := runs/weights
FINE_TUNE := --set state_weight=1 language_steps=0 vision_steps=0
weights: $(READY)
	$(BIN)/sdiwm collect --task reach --episodes 800 --seed 0 --out $(WEIGHTS)/scripted
	$(BIN)/sdiwm train --data $(WEIGHTS)/scripted --out $(WEIGHTS)/first \
		--set state_weight=1 world_steps=4000
	$(BIN)/sdiwm export --model $(WEIGHTS)/first --out $(WEIGHTS)/first_bundle
	$(BIN)/sdiwm collect --task reach --episodes 400 --seed 1 --mixture planner=1 \
		--model $(WEIGHTS)/first_bundle --out $(WEIGHTS)/planned
	$(BIN)/sdiwm train --data $(WEIGHTS)/scripted $(WEIGHTS)/planned --init $(WEIGHTS)/first \
		--out $(WEIGHTS)/second $(FINE_TUNE)
	$(BIN)/sdiwm export --model $(WEIGHTS)/second --out $(WEIGHTS)/second_bundle
	$(BIN)/sdiwm collect --task reach --episodes 400 --seed 2 --mixture planner=1 \
		--model $(WEIGHTS)/second_bundle --out $(WEIGHTS)/planned_again
	$(BIN)/sdiwm train --data $(WEIGHTS)/scripted $(WEIGHTS)/planned $(WEIGHTS)/planned_again \
		--init $(WEIGHTS)/second --out $(WEIGHTS)/third $(FINE_TUNE)
	$(BIN)/sdiwm export --model $(WEIGHTS)/third --out sdiwm_model/weights/reach

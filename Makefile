# `make demo` and `make test` do all set-up on a bare Debian 12 or Ubuntu 24.04; see README.md.
# PYTHON=python3.12 chooses the interpreter, ARGS='--say "touch the blue target"' reaches the demo,
# TASK=push SEED=1 the weights.

BIN := .venv/bin
READY := .venv/.ready
PACKAGES := sdiwm_model sdiwm_sim sdiwm_ros

.PHONY: demo test lint weights ship wam ship-wam compression ship-full clean

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

# A task's weights from nothing, and the step that makes them those that `sdiwm` finds by itself.
TASK := reach
SEED := 0
weights: $(READY)
	.ci/weights.sh $(TASK) $(SEED)

ship:
	cp -rT runs/weights/$(TASK)/$(SEED)/bundle sdiwm_model/weights/.$(TASK)
	if [ -d sdiwm_model/weights/$(TASK)/full ]; then mv sdiwm_model/weights/$(TASK)/full sdiwm_model/weights/.$(TASK); fi
	rm -rf sdiwm_model/weights/$(TASK)
	mv sdiwm_model/weights/.$(TASK) sdiwm_model/weights/$(TASK)

# The same of the task's world-action model, which lies in the folder wam of the shipped weights.
wam: $(READY)
	.ci/wam.sh $(TASK) $(SEED)

ship-wam:
	rm -rf sdiwm_model/weights/$(TASK)/wam
	cp -r runs/wam/$(TASK)/$(SEED)/wam sdiwm_model/weights/$(TASK)/wam
	$(BIN)/sdiwm export wam --bundle sdiwm_model/weights/$(TASK)

# One seed of all that `sdiwm bench compression` compares: doc/how-to/compress.md.
compression: $(READY)
	.ci/compression.sh $(TASK) $(SEED)

# The full model of seed 0 becomes the one that compression starts from.
ship-full:
	$(BIN)/python .ci/ship_full.py $(TASK)

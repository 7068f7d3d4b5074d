#!/usr/bin/env bash
# The weights of one task, from nothing, in rounds: `.ci/weights.sh TASK SEED`. Called by make.
#
# The first round learns from scripted and random motion; each later one starts from the weights of
# the round before and learns also from what the planner did with them, where it errs. Whatever
# exists is not made again: remove a folder, and those that follow from it, to make it anew.
# SCRIPTED=DIR takes the first round's episodes from there, so that several seeds share them.
set -euo pipefail
cd "$(dirname "$0")/.."
task=$1 seed=$2
out=${WEIGHTS:-runs/weights}/$task/$seed

# What each round changes of config/training/TASK.yaml. A prior is distilled in the last one alone.
later="language_steps=0 vision_steps=0"
settings=(
    "world_steps=4000 size.prior=0 prior_plans=0"
    "$later size.prior=0 prior_plans=0"
    "$later"
)
# Episodes of each round; options of `sdiwm collect` in all rounds, and in the first beside those.
collect=() scripted=()
case $task in
    reach | reach_goal_image)
        episodes=(800 400 400)
        ;;
    push)
        episodes=(400 200)
        scripted=(--mixture random=0.15,scripted=0.3,wrong_target=0.2,near_target=0.35)
        ;;
    cartpole)
        episodes=(500 300 300)
        scripted=(--mixture random=0.2,scripted=0.5,near_target=0.3)
        ;;
    jaco_reach)
        episodes=(900 200 200)
        collect=(--steps 60)
        scripted=(--mixture random=0.6,scripted=0.2,near_target=0.2)
        ;;
    *)
        echo "weights: TASK=$task has no recipe: add one to .ci/weights.sh" >&2
        exit 2
        ;;
esac

# step FILE ARGUMENTS...: `sdiwm ARGUMENTS...`, which writes FILE last, unless FILE exists.
step() {
    local file=$1
    shift
    if [ ! -e "$file" ]; then
        echo "weights: sdiwm $*"
        "${BIN:-.venv/bin}/sdiwm" "$@"
    fi
}

data=() last=
for round in "${!episodes[@]}"; do
    here=$out/round-$((round + 1))
    if [ -z "$last" ]; then
        data=("${SCRIPTED:-$here/data}")
        source=("${scripted[@]}")
        start=()
    else
        data+=("$here/data")
        source=(--mixture planner=1 --model "$last/bundle")
        start=(--init "$last/run")
    fi
    step "${data[-1]}/manifest.json" collect --task "$task" --episodes "${episodes[round]}" \
        --seed $((10 * seed + round)) "${collect[@]}" "${source[@]}" --out "${data[-1]}"
    # shellcheck disable=SC2086 # several settings
    step "$here/run/model.json" train --data "${data[@]}" "${start[@]}" --seed "$seed" \
        --set ${settings[round]} --out "$here/run"
    step "$here/bundle/model.json" export --model "$here/run" --out "$here/bundle"
    last=$here
done
rm -rf "$out/bundle"
cp -r "$last/bundle" "$out/bundle"
echo "weights: $out/bundle; make it the shipped one with \`make ship TASK=$task SEED=$seed\`"

#!/usr/bin/env bash
# The world-action model of one task's shipped bundle, from nothing: `.ci/wam.sh TASK SEED`.
# Called by make.
#
# All seeds learn from the same demonstrations. Whatever exists is not made again: remove a folder,
# and those that follow from it, to make it anew.
set -euo pipefail
cd "$(dirname "$0")/.."
source .ci/steps.sh
task=$1 seed=$2
out=${WAM:-runs/wam}/$task
bundle=sdiwm_model/weights/$task

# Demonstrations, and model steps in each: 12 that lead in, the way to the target, some at rest there.
# A layout of four pucks is seldom like another: that takes the most demonstrations.
settings=()
case $task in
    reach) episodes=6000 steps=36 settings=(--set "speeds=[4,8]" anchor_updates=12000 updates=500) ;;
    push) episodes=900 steps=72 settings=(--set updates=500) ;;
    jaco_reach) episodes=900 steps=48 settings=(--set updates=500) ;;
    *)
        echo "wam: TASK=$task has no recipe: add one to .ci/wam.sh" >&2
        exit 2
        ;;
esac

step "$out/demonstrations/manifest.json" collect --task "$task" --episodes $episodes --steps $steps \
    --seed 30 --mixture demonstration=1 --out "$out/demonstrations"
step "$out/$seed/wam/wam.json" wam --bundle "$bundle" --data "$out/demonstrations" \
    "${settings[@]}" --seed "$seed" --out "$out/$seed"
echo "wam: $out/$seed/wam; make it the shipped one with \`make ship-wam TASK=$task SEED=$seed\`"

#!/usr/bin/env bash
# The weights of one task, from nothing, in rounds: `.ci/weights.sh TASK SEED`. Called by make.
#
# The first round's episodes are scripted and random motion; each later one's are what the planner
# does with a model of all episodes so far, where it errs. The last model learns from all of them,
# from scratch and for longer, or goes on from the last round's. Whatever exists is not made again:
# remove a folder, and those that follow from it, to make it anew.
# EPISODES=runs/weights/TASK/OTHER takes another seed's episodes and trains the last model alone:
# what a training seed changes and nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."
source .ci/steps.sh
task=$1 seed=$2
out=${WEIGHTS:-runs/weights}/$task/$seed

# Episodes of each round, and whether the last model goes on from the last round's.
goes_on=
motion "$task"
case $task in
    reach) episodes=(800 400 400) ;;
    reach_goal_image) episodes=(700) ;;
    push) episodes=(400 200) ;;
    cartpole) episodes=(1200 200 150 150) goes_on=yes ;;
    jaco_reach) episodes=(900 200 200) ;;
    *)
        echo "weights: TASK=$task has no recipe: add one to .ci/weights.sh" >&2
        exit 2
        ;;
esac

data=() start=() settings=(world_steps=4000 size.prior=0 prior_plans=0)
if [ -n "${EPISODES:-}" ]; then
    if [ "$goes_on" ]; then
        echo "weights: TASK=$task goes on from its own rounds: leave EPISODES out" >&2
        exit 2
    fi
    data=("$EPISODES"/round-*/data)
    episodes=()
fi
for round in "${!episodes[@]}"; do
    here=$out/round-$((round + 1))
    source=("${scripted[@]}")
    if [ "$round" -gt 0 ]; then
        last=$out/round-$round
        step "$last/run/model.json" train --data "${data[@]}" "${start[@]}" --seed "$seed" \
            --set "${settings[@]}" --out "$last/run"
        step "$last/bundle/model.json" export --model "$last/run" --out "$last/bundle"
        source=(--mixture planner=1 --model "$last/bundle")
        start=(--init "$last/run")
        [ "$round" -gt 1 ] || settings+=(language_steps=0 vision_steps=0)
    fi
    data+=("$here/data")
    step "${data[-1]}/manifest.json" collect --task "$task" --episodes "${episodes[round]}" \
        --seed $((10 * seed + round)) "${collect[@]}" "${source[@]}" --out "${data[-1]}"
done
final=(--seed "$seed")
if [ "$goes_on" ]; then
    final=("${start[@]}" "${final[@]}" --set language_steps=0 vision_steps=0 world_steps=12000)
fi
step "$out/run/model.json" train --data "${data[@]}" "${final[@]}" --out "$out/run"
step "$out/bundle/model.json" export --model "$out/run" --out "$out/bundle"
echo "weights: $out/bundle; make it the shipped one with \`make ship TASK=$task SEED=$seed\`"

#!/usr/bin/env bash
# The bundles that `sdiwm bench compression` compares, of one task and one seed, from nothing:
# `.ci/compression.sh TASK SEED`. Called by make.
#
# All seeds learn from the same episodes: the scripted and random motion that the shipped weights
# began with, and what the shipped planner does. Whatever exists is not made again: remove a folder,
# and those that follow from it, to make it anew.
# TEACHER=0 compresses the full model of seed 0, instead of training one of this seed. That of seed 0
# is not trained where it is shipped: what made it is in its model.json.
set -euo pipefail
cd "$(dirname "$0")/.."
source .ci/steps.sh
task=$1 seed=$2 teacher=${TEACHER:-$2}
out=${COMPRESSION:-runs/compression}/$task
recipes=(prune:pruned deploy:distilled microcontroller:all)

# Episodes by script and by planner, as many as .ci/weights.sh collects.
motion "$task"
case $task in
    reach) episodes=(800 800) ;;
    push) episodes=(400 200) ;;
    jaco_reach) episodes=(900 400) ;;
    *)
        echo "compression: TASK=$task has no recipe: add one to .ci/compression.sh" >&2
        exit 2
        ;;
esac

data=("$out/data/scripted" "$out/data/planned")
step "${data[0]}/manifest.json" collect --task "$task" --episodes "${episodes[0]}" --seed 60 \
    "${collect[@]}" "${scripted[@]}" --out "${data[0]}"
step "${data[1]}/manifest.json" collect --task "$task" --episodes "${episodes[1]}" --seed 61 \
    "${collect[@]}" --mixture planner=1 --model "sdiwm_model/weights/$task" --out "${data[1]}"

full=$out/full/$teacher
if [ "$teacher" = 0 ] && [ -d "sdiwm_model/weights/$task/full" ]; then
    full=sdiwm_model/weights/$task/full
fi
step "$full/model.json" train --data "${data[@]}" --config config/training/size/full.yaml \
    --seed "$teacher" --out "$full"
step "$out/full/$teacher-bundle/model_card.json" compress --model "$full" --data "${data[@]}" \
    --recipe quantise --seed "$teacher" --out "$out/full/$teacher-bundle"
for recipe in "${recipes[@]}"; do
    bundle=$out/${recipe#*:}/$seed
    step "$bundle/model_card.json" compress --model "$full" --data "${data[@]}" \
        --recipe "${recipe%:*}" --seed "$seed" --work "$out/stages/$seed" --out "$bundle"
done
echo "compression: $out/{full,pruned,distilled,all}; doc/how-to/compress.md says how to compare them"

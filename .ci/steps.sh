# What the recipes of weights share; sourced by them.

# step FILE ARGUMENTS...: `sdiwm ARGUMENTS...`, which writes FILE last, unless FILE exists.
step() {
    local file=$1
    shift
    if [ ! -e "$file" ]; then
        echo "$(basename "$0" .sh): sdiwm $*"
        "${BIN:-.venv/bin}/sdiwm" "$@"
    fi
}

# motion TASK: sets `collect` to the options of `sdiwm collect` for all episodes of a task, and
# `scripted` to those for scripted and random motion beside them.
motion() {
    collect=() scripted=()
    case $1 in
        push) scripted=(--mixture random=0.15,scripted=0.3,wrong_target=0.2,near_target=0.35) ;;
        cartpole)
            collect=(--steps 80)
            scripted=(--mixture random=0.1,scripted=0.35,near_target=0.55)
            ;;
        jaco_reach)
            collect=(--steps 60)
            scripted=(--mixture random=0.6,scripted=0.2,near_target=0.2)
            ;;
    esac
}

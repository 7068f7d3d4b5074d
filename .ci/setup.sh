#!/usr/bin/env bash
# Make .venv ready on a bare Debian 12 or Ubuntu 24.04: system packages, torch, ROS 2 wheels, sdiwm.
# PYTHON=... chooses another interpreter (3.11 to 3.13). Called by make, once.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    echo "setup: $*" >&2
    exit 1
}

has_library() {
    ldconfig -p 2>/dev/null | grep -q "$1" || /sbin/ldconfig -p 2>/dev/null | grep -q "$1"
}

usable_python() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

find_python() {
    local name
    for name in ${PYTHON:-python3.12 python3.11 python3.13 python3}; do
        if usable_python "$name"; then
            echo "$name"
            return
        fi
    done
}

# Prints the Debian and Ubuntu packages that are missing, one line.
missing_packages() {
    local python missing=()
    python=$(find_python)
    if [ -z "$python" ] || ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        missing+=(python3 python3-venv)
    fi
    command -v g++ >/dev/null || missing+=(g++ libc6-dev)
    # Firmware: the cross-compiler, and the emulator that its tests run on.
    command -v arm-none-eabi-g++ >/dev/null || missing+=(gcc-arm-none-eabi libnewlib-arm-none-eabi)
    command -v qemu-system-arm >/dev/null || missing+=(qemu-system-arm)
    # Rendering without a screen: the EGL dispatcher, a driver behind it, and OpenGL's own symbols.
    has_library libEGL.so.1 || missing+=(libegl1)
    has_library libEGL_nvidia.so.0 || compgen -G '/usr/lib/*/dri/swrast_dri.so' >/dev/null ||
        compgen -G '/usr/lib/*/libgallium*.so' >/dev/null || missing+=(libgl1-mesa-dri)
    has_library libOpenGL.so.0 || has_library libGL.so.1 || missing+=(libopengl0)
    echo "${missing[*]}"
}

install_packages() {
    local packages=$1 sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        sudo=(sudo -n)
    fi
    if ! command -v apt-get >/dev/null || ! "${sudo[@]}" true 2>/dev/null; then
        fail "these packages are missing: run \`sudo apt-get install $packages\` and start again"
    fi
    echo "setup: installing $packages"
    "${sudo[@]}" apt-get update -qq
    # shellcheck disable=SC2086 # a list of names
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends $packages >/dev/null
}

# PyPI's torch brings CUDA libraries of several GB; the CPU index is taken where it can be reached.
torch_index() {
    local index=https://download.pytorch.org/whl/cpu
    if .venv/bin/python - "$index/torch/" <<'PYTHON' 2>/dev/null; then
import sys, urllib.request
urllib.request.urlopen(sys.argv[1], timeout=5)
PYTHON
        echo "--extra-index-url $index"
    fi
}

packages=$(missing_packages)
if [ -n "$packages" ]; then
    install_packages "$packages"
fi
python=$(find_python)
[ -n "$python" ] || fail "no Python 3.11 to 3.13 found: install one or name it, \`make PYTHON=...\`"

if ! usable_python .venv/bin/python || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    echo "setup: creating .venv with $("$python" --version)"
    rm -rf .venv
    "$python" -m venv .venv
fi
pip=(.venv/bin/python -m pip --disable-pip-version-check --quiet)
echo "setup: installing torch, MuJoCo, ROS 2 and sdiwm into .venv (2.6 GB, some minutes)"
# shellcheck disable=SC2046 # two words or none
"${pip[@]}" install -c constraints.txt $(torch_index) setuptools torch
"${pip[@]}" install -c constraints.txt --use-pep517 --no-build-isolation \
    --editable '.[all,development]'
echo "setup: done"

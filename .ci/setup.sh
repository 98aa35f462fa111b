#!/usr/bin/env bash
# Makes .venv in the checkout ready, with as little as possible: `make` calls it, CI too.
#
#   .ci/setup.sh runtime    what `make demo` needs: no torch
#   .ci/setup.sh dev        on top of it: offline/ (torch) and the tools of `make test`, `make lint`
#
# PYTHON=... chooses the interpreter. Nothing is done twice: each layer leaves a stamp in .venv,
# written last, that names everything it depends on. A .venv that an interrupted run left
# half-made, that lost its interpreter or that was moved is made anew.
set -euo pipefail
cd "$(dirname "$0")/.."

layer=${1:-runtime}
case $layer in
    runtime) requirement='.' ;;
    dev) requirement='.[offline,networks,dev]' ;;
    *) echo "setup: layer '$layer' found, runtime or dev expected." >&2; exit 2 ;;
esac

say() { echo "setup: $*" >&2; }
fail() { say "$*"; exit 2; }

venv=$PWD/.venv
unfinished=$venv/.b2g-unfinished # there while pip or venv is at work: left behind when killed

# An activated .venv must not be asked to remake itself.
PATH=$(printf %s "$PATH" | tr ':' '\n' | { grep -vxF "$venv/bin" || true; } | paste -sd:)
export PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_INPUT=1
unset PYTHONHOME PYTHONPATH PIP_USER PIP_TARGET PIP_PREFIX VIRTUAL_ENV

# ---------------------------------------------------------------- which Python
is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

choose_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        is_new_enough "$PYTHON" || fail "PYTHON=$PYTHON does not run or is older than 3.11."
        echo "$PYTHON"
        return
    fi
    # A name on the PATH may be a version manager's shim that only says no: it must really run.
    for candidate in python3.11 python3.12 python3.13 python3; do
        if is_new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "no Python 3.11 or newer found (tried python3.11, python3.12, python3.13, python3)." \
        "Install one, or name it: make PYTHON=/path/to/python3.11"
}

minor_version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }

# ---------------------------------------------------------------- system packages
# Every library that Qt loads, and the Debian or Ubuntu package it comes from: new name|old name.
qt_libraries='
libGL.so.1              libgl1
libEGL.so.1             libegl1
libglib-2.0.so.0        libglib2.0-0t64|libglib2.0-0
libfontconfig.so.1      libfontconfig1
libfreetype.so.6        libfreetype6
libdbus-1.so.3          libdbus-1-3
libX11.so.6             libx11-6
libX11-xcb.so.1         libx11-xcb1
libxcb.so.1             libxcb1
libxcb-cursor.so.0      libxcb-cursor0
libxcb-glx.so.0         libxcb-glx0
libxcb-icccm.so.4       libxcb-icccm4
libxcb-image.so.0       libxcb-image0
libxcb-keysyms.so.1     libxcb-keysyms1
libxcb-randr.so.0       libxcb-randr0
libxcb-render.so.0      libxcb-render0
libxcb-render-util.so.0 libxcb-render-util0
libxcb-shape.so.0       libxcb-shape0
libxcb-shm.so.0         libxcb-shm0
libxcb-sync.so.1        libxcb-sync1
libxcb-util.so.1        libxcb-util1
libxcb-xfixes.so.0      libxcb-xfixes0
libxcb-xkb.so.1         libxcb-xkb1
libxkbcommon.so.0       libxkbcommon0
libxkbcommon-x11.so.0   libxkbcommon-x11-0
libwayland-cursor.so.0  libwayland-cursor0
'

# What is missing, one package a line; decided by what loads, not by what is installed.
missing_packages() {
    if [ -n "$wrong" ] && ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        echo "python$(minor_version "$python")-venv"
    fi
    "$python" -c '
import ctypes, sys
for library, package in (line.split() for line in sys.argv[1].strip().splitlines()):
    try:
        ctypes.CDLL(library)
    except OSError:
        print(package)
' "$qt_libraries"
    if [ "$layer" = dev ]; then
        command -v Xvfb >/dev/null || echo xvfb
        command -v xauth >/dev/null || echo xauth
    fi
}

# Of packages that were renamed, the name that this release knows.
known_names() {
    local packages name chosen
    while read -r packages; do
        chosen=${packages##*|} # the old name where the lists are empty
        for name in ${packages//|/ }; do
            if [ -n "$(apt-cache show "$name" 2>/dev/null)" ]; then
                chosen=$name
                break
            fi
        done
        echo "$chosen"
    done | paste -sd' '
}

install_system_packages() {
    local missing names
    missing=$(missing_packages)
    [ -n "$missing" ] || return 0
    if ! command -v apt-get >/dev/null; then
        fail "missing on this system, under Debian's names: $(paste -sd' ' <<<"$missing")." \
            "Install what they are called here, then run make again."
    fi
    if [ "$(id -u)" -ne 0 ]; then
        names=$(known_names <<<"$missing")
        fail "missing system packages. Run: sudo apt-get update &&" \
            "sudo apt-get install --no-install-recommends $names"
    fi
    local apt=(apt-get -q -o DPkg::Lock::Timeout=300)
    say "updating the package lists"
    "${apt[@]}" update >&2
    names=$(known_names <<<"$missing")
    say "installing $names"
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive "${apt[@]}" install -y --no-install-recommends $names \
        </dev/null >&2
}

# ---------------------------------------------------------------- .venv
# Why the .venv that is there cannot be used; nothing when it can.
whats_wrong_with_venv() {
    if [ -e "$unfinished" ]; then
        echo "an earlier setup was interrupted"
    elif ! is_new_enough "$venv/bin/python"; then
        echo "its Python does not run or is older than 3.11"
    elif [ -n "${PYTHON:-}" ] && [ "$(minor_version "$PYTHON")" != "$(minor_version "$venv/bin/python")" ]; then
        echo "it has Python $(minor_version "$venv/bin/python"), $PYTHON was asked for"
    elif ! "$venv/bin/python" -c 'import pip._internal.cli.main' >/dev/null 2>&1; then
        echo "pip is missing or broken in it"
    elif ! head -n 3 "$venv/bin/pip" 2>/dev/null | grep -qF "$venv/bin/python"; then
        echo "it was made in another folder"
    fi
}

make_venv() {
    say "making .venv with $("$python" --version) ($(command -v "$python"))"
    rm -rf "$venv"
    mkdir "$venv"
    touch "$unfinished"
    "$python" -m venv "$venv"
    rm "$unfinished"
}

pinned_pip=$(grep -m1 '^pip==' constraints.txt)

# Everything a layer depends on. The interpreter counts: Debian may replace it under the .venv.
layer_key() {
    {
        echo "$1" "$venv"
        "$venv/bin/python" -VV
        cat constraints.txt
        "$venv/bin/python" -c '
import json, tomllib
with open("pyproject.toml", "rb") as file:
    whole = tomllib.load(file)
kept = whole["build-system"], whole["project"], whole["tool"]["setuptools"]
print(json.dumps(kept, sort_keys=True))
' # settings of the linters and of pytest change nothing in .venv
    } | sha256sum | cut -d' ' -f1
}

install_layer() {
    local key stamp=$venv/.b2g-$layer
    key=$(layer_key "$layer")
    if [ "$(cat "$stamp" 2>/dev/null)" = "$key" ]; then
        return
    fi
    say "installing the $layer packages into .venv (this takes a few minutes the first time)"
    touch "$unfinished"
    "$venv/bin/python" -m pip install --upgrade "$pinned_pip"
    "$venv/bin/python" -m pip install -c constraints.txt -e "$requirement"
    echo "$key" >"$stamp"
    if [ "$layer" = dev ]; then
        layer_key runtime >"$venv/.b2g-runtime" # dev holds all of runtime
    fi
    rm "$unfinished"
}

# ---------------------------------------------------------------- the whole of it
mkdir -p .cache
exec 9>.cache/setup.lock
flock 9 # two makes in one checkout wait for each other

if [ -n "${PYTHON:-}" ]; then
    python=$(choose_python) # a wrong PYTHON= is said even where .venv is fine
fi
if [ -e "$venv" ]; then
    wrong=$(whats_wrong_with_venv)
else
    wrong="there is none yet"
fi
if [ -n "$wrong" ]; then
    python=$(choose_python)
    [ ! -e "$venv" ] || say "making .venv anew: $wrong"
else
    python=$venv/bin/python
fi
install_system_packages
[ -z "$wrong" ] || make_venv
install_layer

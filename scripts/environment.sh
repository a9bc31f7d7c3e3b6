#!/bin/sh
# Make .venv hold exactly what a lock file names: sh scripts/environment.sh serve|test
#
# Nothing is installed outside .venv, and pip keeps the index and proxy that this machine gave it.
# What was installed is noted in .venv as a copy of the lock file, so a second run does nothing, and
# a changed lock installs again. test.lock contains serve.lock: one environment serves both.
set -eu
cd "$(dirname "$0")/.."
wanted=$1

# say WHAT DEBIAN FEDORA MACOS: what is missing, and the package that has it
say() {
    echo "Baton needs $1. Install it with:" >&2
    echo "    Debian, Ubuntu:  apt-get install $2" >&2
    echo "    Fedora, RHEL:    dnf install $3" >&2
    echo "    macOS:           $4" >&2
    echo "and run the same command again." >&2
    exit 1
}

recent() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

# A distribution's own interpreter first: it is built along a profile, which a version tool's default
# build is not, and takes a fifth less processor time a request (docs/decisions/0022).
find_python() {
    if [ -z "${PYTHON:-}" ] && recent /usr/bin/python3 &&
        /usr/bin/python3 -c 'import ensurepip, venv' >/dev/null 2>&1; then
        echo /usr/bin/python3
        return
    fi
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
        if recent "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    say "Python 3.11 or newer (PYTHON=/path/to/python3 names one outside the path)" \
        "python3 python3-venv" "python3" "brew install python"
}

check_system() {
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1 ||
        say "Python's venv and ensurepip modules" "python3-venv" "python3" "brew install python"
    [ "$(uname -s)" = Linux ] || return 0
    if [ -z "$("$1" -c 'import platform; print(platform.libc_ver()[0])')" ]; then
        echo "Baton's engine is built for glibc, and this system has another C library (musl?)." >&2
        echo "Use a Debian, Ubuntu, Fedora or similar system or container." >&2
        exit 1
    fi
    "$1" -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' >/dev/null 2>&1 ||
        say "the OpenMP library libgomp.so.1" "libgomp1" "libgomp" "(not needed)"
}

make_environment() {
    recent .venv/bin/python && return
    python=$(find_python)
    check_system "$python"
    echo "Creating .venv with $("$python" --version)"
    rm -rf .venv
    "$python" -m venv .venv
}

install() {
    lock=requirements/$wanted.lock
    if ! cmp -s "$lock" ".venv/$wanted.lock"; then
        echo "Installing $lock into .venv (once; about a minute on a fast line)"
        .venv/bin/python -m pip install --quiet --require-hashes --requirement "$lock"
        cp requirements/serve.lock .venv/serve.lock
        cp "$lock" ".venv/$wanted.lock"
    fi
    if ! cmp -s pyproject.toml .venv/pyproject.toml; then
        .venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
        .venv/bin/python -m compileall -q baton # as pip does with the rest
        cp pyproject.toml .venv/pyproject.toml
    fi
}

make_environment
check_system .venv/bin/python
install

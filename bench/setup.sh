#!/bin/sh
# What the benchmarks need beside Baton: nginx to compare with, a C compiler, taskset. Debian, Ubuntu.
set -eu
if ! command -v apt-get >/dev/null; then
    echo "Install nginx, a C compiler (cc) and taskset (util-linux) with your package manager." >&2
    exit 1
fi
apt-get update -qq
apt-get install --yes --no-install-recommends nginx-light gcc libc6-dev util-linux

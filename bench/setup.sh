#!/bin/sh
# What the benchmarks need beside Baton: nginx and HAProxy to compare with, a C compiler, taskset.
# With the word `peers` also LiteLLM and Portkey's gateway, each in an environment of its own under
# build/bench/peers: nothing else on the machine sees them. Debian, Ubuntu.
set -eu
if ! command -v apt-get >/dev/null; then
    echo "Install nginx, haproxy, a C compiler (cc) and taskset (util-linux) with your package manager;" >&2
    echo "for the peers also Node.js with npm, then: python3 -m bench.peers_setup" >&2
    exit 1
fi
apt-get update -qq
apt-get install --yes --no-install-recommends nginx-light haproxy gcc libc6-dev util-linux
if [ "${1:-}" = peers ]; then
    apt-get install --yes --no-install-recommends python3-venv
    # Node.js from elsewhere brings its own npm, and Debian's conflicts with it.
    command -v npm >/dev/null || apt-get install --yes --no-install-recommends nodejs npm
    cd "$(dirname "$0")/.."
    python3 -m bench.peers_setup
fi

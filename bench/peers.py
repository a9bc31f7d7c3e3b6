"""What stands beside Baton besides nginx: HAProxy, LiteLLM and Portkey's gateway, before one mock.

HAProxy is Debian's, on one thread, with `http-no-delay`: without it small chunks wait for 0.1 s.
LiteLLM is its proxy with one worker and no database, without keys, its log at errors only: the
cheapest that it can be. Portkey is its gateway headless, without cache, guardrails or a config; it
is told provider and address in headers. Both are asked for the same model by the upstream's name.

All listen on the loopback only; Portkey has no setting for that, so a few lines loaded before it
set the address. LiteLLM's telemetry is off and what it looks up in the network at start is read
from its own package; Portkey sends nothing by itself. Neither sees the caller's environment but
PATH.
"""

import contextlib
import os
import pathlib
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence

from bench.peers_setup import PACKAGES, PeerMissing, installed
from bench.processes import running
from bench.relays import RELAY_CORE, THEIR_MODEL, BenchFailed, Relay, wait_answering
from tests import running as servers

START_TIMEOUT_S = 120.0
TOLD_CHARACTERS = 500
TITLES = {"haproxy": "HAProxy", "litellm": "LiteLLM", "portkey": "Portkey"}

HAPROXY = """global
  nbthread 1
  maxconn 8192
defaults
  mode http
  option http-no-delay
  http-reuse always
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen relay
  bind 127.0.0.1:{port}
  server mock 127.0.0.1:{mock_port} pool-max-conn -1
"""

LITELLM = """model_list:
  - model_name: {model}
    litellm_params:
      model: text-completion-openai/{model}
      api_base: http://127.0.0.1:{mock_port}/v1
      api_key: sk-none
litellm_settings:
  telemetry: false
"""
LITELLM_ENVIRONMENT = {
    "LITELLM_LOG": "ERROR",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_LOCAL_POLICY_TEMPLATES": "True",
}

LOOPBACK = """const { Server } = require("node:net");
const listen = Server.prototype.listen;
Server.prototype.listen = function (port, host, ...rest) {
  return listen.call(this, port, host ?? "127.0.0.1", ...rest);
};
"""


@contextlib.contextmanager
def haproxy(folder: pathlib.Path, mock_port: int) -> Iterator[Relay]:
    if shutil.which("haproxy") is None:
        raise PeerMissing("haproxy not installed; run: sh bench/setup.sh")
    port, settings = servers.free_port(), folder / "haproxy.cfg"
    settings.write_text(HAPROXY.format(port=port, mock_port=mock_port), encoding="utf-8")
    with _started("haproxy", ["haproxy", "-db", "-f", str(settings)], port, folder) as relay:
        yield relay


@contextlib.contextmanager
def litellm(folder: pathlib.Path, mock_port: int) -> Iterator[Relay]:
    place, port, settings = installed("litellm"), servers.free_port(), folder / "litellm.yaml"
    text = LITELLM.format(model=THEIR_MODEL, mock_port=mock_port)
    settings.write_text(text, encoding="utf-8")
    words = [
        str(place / "bin" / "litellm"), "--config", str(settings), "--host", "127.0.0.1",
        "--port", str(port), "--num_workers", "1", "--telemetry", "False",
    ]  # fmt: skip
    with _started("litellm", words, port, folder, environment=LITELLM_ENVIRONMENT) as relay:
        yield relay


@contextlib.contextmanager
def portkey(folder: pathlib.Path, mock_port: int) -> Iterator[Relay]:
    place, port, before = installed("portkey"), servers.free_port(), folder / "loopback.cjs"
    before.write_text(LOOPBACK, encoding="utf-8")
    program = place / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    words = ["node", "--require", str(before), str(program), "--headless", f"--port={port}"]
    headers = portkey_headers(mock_port)
    with _started("portkey", words, port, folder, headers=headers) as relay:
        yield relay


def portkey_headers(mock_port: int) -> tuple[str, ...]:
    """Where the request shall go."""
    address = f"x-portkey-custom-host: http://127.0.0.1:{mock_port}/v1"
    return ("x-portkey-provider: openai", address)


Start = Callable[[pathlib.Path, int], contextlib.AbstractContextManager[Relay]]
PEERS: Mapping[str, Start] = {"haproxy": haproxy, "litellm": litellm, "portkey": portkey}


def start(
    stack: contextlib.ExitStack,
    names: Sequence[str],
    folder: pathlib.Path,
    mock_port: int,
    peers: Mapping[str, Start] = PEERS,
) -> tuple[list[Relay], dict[str, str]]:
    """Those that run until the stack is closed, and of the others by name why they do not."""
    relays: list[Relay] = []
    unavailable: dict[str, str] = {}
    for name in names:
        try:
            relays.append(stack.enter_context(peers[name](folder, mock_port)))
        except PeerMissing as reason:
            unavailable[name] = str(reason)
    return relays, unavailable


def versions(names: Sequence[str]) -> dict[str, str]:
    """What was measured, for the head of a report."""
    return {name: _version(name) for name in names}


def _version(name: str) -> str:
    if name == "haproxy":
        told = subprocess.run(["haproxy", "-v"], capture_output=True, text=True, check=True)
        return "HAProxy " + told.stdout.split()[2]
    if name == "portkey":
        node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
        return f"Portkey {PACKAGES[name].version} (Node {node.stdout.strip()})"
    return f"{TITLES[name]} {PACKAGES[name].version}"


@contextlib.contextmanager
def _started(
    name: str,
    words: Sequence[str],
    port: int,
    folder: pathlib.Path,
    *,
    headers: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[Relay]:
    """The process on the relays' core, once it has answered; PeerMissing with its last words."""
    log = folder / f"{name}.log"
    own = {"PATH": os.environ["PATH"], "HOME": str(folder), **(environment or {})}
    with running(words, RELAY_CORE, environment=own, log=log) as process:
        relay = Relay(name, port, process.pid, "sk-none", THEIR_MODEL, headers)
        try:
            wait_answering(relay, START_TIMEOUT_S)
        except BenchFailed as failure:
            said = " ".join(log.read_text(encoding="utf-8", errors="replace").split())
            raise PeerMissing(f"{failure} It printed: {said[-TOLD_CHARACTERS:]}") from None
        yield relay

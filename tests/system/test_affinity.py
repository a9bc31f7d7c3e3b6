"""Two real replicas, Batons with an engine each, behind one: prompts that begin alike meet where
their beginning is cached, and both replicas work.

What could be found at best is worked out from the prompts: in one engine that forgets nothing, each
finds the longest beginning that any prompt before it had.
"""

import concurrent.futures
import contextlib
import itertools
import pathlib
import random
from collections import Counter
from collections.abc import Iterator

import pytest

from tests import running
from tests.fakes import tiny_gguf
from tests.relaying import Relay, relaying

GROUPS = 12
EACH = 16
"""A seat that has too much is passed over, at four callers once in eight times: each beginning may
be computed at both, which costs a fifteenth at most."""
SHARED_CHARACTERS = 300
OWN_CHARACTERS = 40
CALLERS = 4
SEQUENCES = 64
"""Enough to forget nothing."""
SHARE_MIN = 0.9
IMBALANCE_MAX = 1.3


def prompts(dice: random.Random) -> list[str]:
    """Groups of prompts that begin alike, one prompt of each group after the other in a round."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    shared = ["".join(dice.choices(letters, k=SHARED_CHARACTERS)) for _ in range(GROUPS)]
    return [
        beginning + "".join(dice.choices(letters, k=OWN_CHARACTERS))
        for _ in range(EACH)
        for beginning in dice.sample(shared, GROUPS)
    ]


def endless(asked: list[str]) -> int:
    """Bytes, which are this model's tokens, that one cache of all prompts would find."""
    found = 0
    for number, prompt in enumerate(asked):
        found += max((alike(prompt, other) for other in asked[:number]), default=0)
    return found


def alike(one: str, other: str) -> int:
    """Characters at the beginning that both have."""
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return sum(1 for _ in same)


@contextlib.contextmanager
def replicas(folder: pathlib.Path, names: list[str]) -> Iterator[dict[str, running.Server]]:
    """Whole Batons with the tiny model."""
    model = tiny_gguf.write(folder / "tiny.gguf")
    settings = {"BATON_MODEL": str(model), "BATON_ENGINE_SEQUENCES": str(SEQUENCES)}
    started = {name: running.start(folder / name, settings) for name in names}
    try:
        for server in started.values():
            server.wait_ready()
        yield started
        for server in started.values():
            server.stop()
    finally:
        for server in started.values():
            server.kill()


@contextlib.contextmanager
def relay_over(folder: pathlib.Path, servers: dict[str, running.Server]) -> Iterator[Relay]:
    home = folder / "relay"
    home.mkdir()
    with relaying(home) as relay:
        relay.store.upstreams.remove("fake", "test")
        for name, server in servers.items():
            theirs = pathlib.Path(server.model).stem
            relay.add_upstream_at(name, server.base_url, "baton", theirs, secret=server.key)
        sites = relay.worker._configured
        relay.until(lambda: set(sites.sites) == set(servers))
        yield relay


@pytest.mark.soak
def test_two_replicas(tmp_path: pathlib.Path) -> None:
    """Nine tenths of the cached tokens that one engine without a limit would have; neither replica
    has much more than half of the requests."""
    asked = prompts(random.Random(5))
    with replicas(tmp_path, ["one", "two"]) as servers, relay_over(tmp_path, servers) as relay:

        def ask(prompt: str) -> tuple[str, int]:
            answer = relay.user.complete(prompt=prompt, max_tokens=1)
            assert 200 == answer.status, answer.text
            details = answer.json["usage"]["prompt_tokens_details"]
            return answer.headers["x-baton-upstream"], details["cached_tokens"]

        with concurrent.futures.ThreadPoolExecutor(CALLERS) as pool:
            found = list(pool.map(ask, asked))
    work = Counter(name for name, _ in found)
    share = sum(cached for _, cached in found) / endless(asked)
    imbalance = max(work.values()) * 2 / len(asked)
    print(f"share {share:.3f}, imbalance {imbalance:.3f}, {dict(work)}")
    assert share >= SHARE_MIN
    assert imbalance <= IMBALANCE_MAX

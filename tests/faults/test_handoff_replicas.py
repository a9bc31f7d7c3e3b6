"""Three replicas in their own processes, killed -9 at random while streams run: nobody sees it.

Streams run in rounds; in each, one or two replicas die at random moments, so that no stream is hit
more than twice. Every stream must be whole and say what the model says of its prompt.
"""

import contextlib
import json
import pathlib
import random
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator

import pytest

from baton.routing.health import Health
from baton.stores.base import UpstreamRecord
from tests.faults.streaming import Streamed, streaming, until
from tests.relaying import MODEL, THEIRS, Relay, relaying, text_of
from tests.running import free_port

ROUND = 20
TOKENS = 30
INTERVAL_S = 0.01
ROUNDS = [
    pytest.param(3, 15, id="60"),
    pytest.param(50, 500, id="1000", marks=pytest.mark.soak),
]


class Replica:
    """A fake server in a process; a killed one is started again on its port."""

    def __init__(self, name: str) -> None:
        self.name, self.port = name, free_port()
        self.process: subprocess.Popen[str]
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns once it answers, a token each INTERVAL_S."""
        words = ["-m", "tests.fakes.fake_completions", "--dialect", "vllm", "--port"]
        self.process = subprocess.Popen(
            [sys.executable, *words, str(self.port)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == self.url
        fault = json.dumps({"times": 1_000_000, "interval_s": INTERVAL_S}).encode()
        with urllib.request.urlopen(f"{self.url}/fault", fault) as answer:
            assert answer.status == 200

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextlib.contextmanager
def replicas(relay: Relay) -> Iterator[list[Replica]]:
    """Three of them, and no other upstream."""
    found = [Replica(name) for name in ("one", "two", "three")]
    try:
        relay.store.upstreams.remove("fake", "test")
        for each in found:
            relay.store.upstreams.add(
                UpstreamRecord(
                    name=each.name, url=each.url, dialect="vllm", models={MODEL: THEIRS}
                ),
                "test",
            )
        sites = relay.worker._configured
        relay.until(lambda: set(sites.sites) == {"one", "two", "three"})
        yield found
    finally:
        for each in found:
            each.kill()


def round_of(relay: Relay, killed: list[Replica], dice: random.Random, at: int) -> list[Streamed]:
    """Some streams, during which these replicas die."""
    for site in relay.worker._configured.sites.values():
        site.health = Health()  # so that all three have streams again
    prompts = [f"the river {at * ROUND + number}" for number in range(ROUND)]
    bodies = [{"prompt": prompt, "max_tokens": TOKENS} for prompt in prompts]
    with streaming(relay.user, bodies) as found:
        until(lambda: all(stream.chunks or stream.failure for stream in found))
        for replica in killed:
            time.sleep(dice.uniform(0, TOKENS * INTERVAL_S / 3))
            replica.kill()
    for replica in killed:
        replica.start()
    for prompt, stream in zip(prompts, found, strict=True):
        assert ("", True) == (stream.failure, stream.whole), prompt
        assert text_of(prompt, TOKENS) == stream.text
        assert stream.handoffs <= 2
    return found


@pytest.mark.parametrize(("rounds", "hits_min"), ROUNDS)
def test_replicas_die(tmp_path: pathlib.Path, rounds: int, hits_min: int) -> None:
    """All streams are whole, enough of them were hit, and each is on the ledger once."""
    dice = random.Random(rounds)
    streams: list[Streamed] = []
    with relaying(tmp_path) as relay, replicas(relay) as found:
        for at in range(rounds):
            streams += round_of(relay, dice.sample(found, dice.choice([1, 2, 2])), dice, at)
    hits = sum(stream.handoffs > 0 for stream in streams)
    print(f"{hits} of {len(streams)} hit, {sum(stream.handoffs for stream in streams)} hand-offs")
    assert hits >= hits_min
    rows = relay.rows()
    assert {"settled"} == {row.state for row in rows}
    told = [stream.usage["completion_tokens"] for stream in streams]
    assert Counter(row.completion_tokens for row in rows) == Counter(told)
    assert len(streams) == len(rows)

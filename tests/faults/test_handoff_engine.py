"""kill -9 of the engine in mid-stream: it is started again, and each stream goes on where it was.
So does one whose engine hangs (SIGSTOP): it is found out by its silence, killed, and started again.

In deterministic mode the answer is the undisturbed one to the last bit of a logprob: greedy and
seeded, alone and among eight. In the default mode, where neighbours change the shape of what is
computed, the rate of identical texts is told beside its control: the same streams, undisturbed,
among other neighbours.
"""

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests import running
from tests.asking import Answer
from tests.faults.streaming import Streamed, streaming, until

DETERMINISTIC = {"x-baton-deterministic": "true"}
TOKENS = 14
SOAK_TOKENS = 28
TALES = (
    "In a village at the foot of a mountain there lived an old clockmaker who had built, over forty"
    " years, a machine that could tell what the weather would be. One morning in October it said"
    " something it had never said before, and",
    "import json\nimport pathlib\n\n\nclass Settings:\n    def __init__(self, path):\n"
    "        self.path = pathlib.Path(path)\n        self.values = {}\n\n    def load(self):\n"
    "        with self.path.open() as f:\n            self.values = json.load(f)\n\n    def",
    "The three most important inventions of the nineteenth century were the railway, the telegraph"
    " and the electric light. The railway changed how people thought about distance, because",
    "Dear Sir or Madam, I am writing to you about the noise that comes from the building site in"
    " our street every night. My neighbours and I have asked the company several times to",
)


def request(number: int, deterministic: bool = True, tokens: int = TOKENS) -> dict[str, Any]:
    """Every other one greedy, the rest seeded."""
    sampling = {"temperature": 0} if number % 2 == 0 else {"temperature": 0.9, "seed": number}
    return {
        "prompt": f"{TALES[number % len(TALES)]}{' ' * (number // len(TALES))}",
        "max_tokens": tokens,
        "logprobs": 1 if deterministic else None,
        "headers": DETERMINISTIC if deterministic else {},
        **sampling,
    }


def kill_engine(server: running.Server, number: int = signal.SIGKILL) -> None:
    [pid] = [pid for pid, words in server.processes().items() if "baton.engine" in words]
    os.kill(pid, number)


def undisturbed(server: running.Server, bodies: list[dict[str, Any]]) -> list[Streamed]:
    with streaming(server.endpoint, bodies) as found:
        pass
    return found


def hit(server: running.Server, bodies: list[dict[str, Any]], after: int) -> list[Streamed]:
    """The same streams; the engine is killed when all have begun and one has so many chunks."""
    with streaming(server.endpoint, bodies) as found:
        until(lambda: all(s.chunks for s in found) and max(s.chunks for s in found) >= after)
        kill_engine(server)
    server.wait_ready()
    return found


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[running.Server]:
    """A server of this file's own: its engine is killed all the time."""
    home, settings = (
        tmp_path_factory.mktemp("handoff") / "home",
        {"BATON_ENGINE_STALL_TIMEOUT_S": "4"},
    )
    with running.serving(home, settings) as server:
        yield server


def check(server: running.Server, bodies: list[dict[str, Any]], after: int) -> int:
    """How many streams were hit; each says what it says undisturbed."""
    calm = undisturbed(server, bodies)
    assert all(stream.whole for stream in calm), calm
    broken = hit(server, bodies, after)
    for number, (was, now) in enumerate(zip(calm, broken, strict=True)):
        assert was.said == now.said, number
    return sum(stream.handoffs > 0 for stream in broken)


@pytest.mark.parametrize("number", [0, 1])
def test_a_stream_alone(engine: running.Server, number: int) -> None:
    """Greedy, and seeded."""
    assert 1 == check(engine, [request(number)], after=7)


def test_streams_side_by_side(engine: running.Server) -> None:
    """All of them are hit, and all go on."""
    assert check(engine, [request(number) for number in range(4)], after=4) >= 3


def test_a_whole_answer(engine: running.Server) -> None:
    """One that is not streamed goes the same way."""
    body = {**request(0), "model": engine.model, "max_tokens": 30}
    headers = body.pop("headers")
    calm = engine.endpoint.post("/v1/completions", body, **headers)
    found: list[Answer] = []
    asking = threading.Thread(
        target=lambda: found.append(engine.endpoint.post("/v1/completions", body, **headers))
    )
    asking.start()
    with streaming(engine.endpoint, [request(2)]) as beside:
        until(lambda: beside[0].chunks >= 3)
        kill_engine(engine)
    asking.join()
    engine.wait_ready()
    assert 200 == calm.status, calm.text
    assert (200, calm.json["choices"]) == (found[0].status, found[0].json.get("choices"))
    assert calm.json["usage"]["total_tokens"] == found[0].json["usage"]["total_tokens"]


def test_a_hung_engine(engine: running.Server) -> None:
    """Stopped in mid-stream: not ready, then another one; each stream is the undisturbed one."""
    bodies = [request(number) for number in range(2)]
    calm = undisturbed(engine, bodies)
    with streaming(engine.endpoint, bodies) as found:
        until(lambda: all(stream.chunks >= 3 for stream in found))
        kill_engine(engine, signal.SIGSTOP)
        until(lambda: not running.is_ready(engine.base_url))
    engine.wait_ready()
    assert [stream.said for stream in calm] == [stream.said for stream in found]
    assert [1, 1] == [stream.handoffs for stream in found]
    assert "engine says nothing any more: it is killed" in engine.printed()


@pytest.mark.soak
def test_fifty_streams(engine: running.Server) -> None:
    """Ten alone, the others by eight."""
    bodies = [request(number, tokens=SOAK_TOKENS) for number in range(50)]
    hits = sum(check(engine, [bodies[at]], after=3 + at % 5) for at in range(10))
    for at in range(10, 50, 8):
        hits += check(engine, bodies[at : at + 8], after=2 + at % 7)
    print(f"50 of 50 identical, {hits} hit")
    assert hits >= 45


@pytest.mark.soak
def test_default_mode(engine: running.Server, record_property: Any) -> None:
    """Nothing fails; how many texts are the undisturbed ones is told beside the control."""
    bodies = [request(number, deterministic=False) for number in range(0, 64, 2)]
    same = same_again = hits = 0
    for at in range(0, len(bodies), 8):
        calm = undisturbed(engine, bodies[at : at + 8])
        others = undisturbed(engine, bodies[at : at + 8][::-1])[::-1]
        broken = hit(engine, bodies[at : at + 8], after=5)
        assert all(stream.whole for stream in broken)
        hits += sum(stream.handoffs > 0 for stream in broken)
        same += sum(was.text == now.text for was, now in zip(calm, broken, strict=True))
        same_again += sum(was.text == now.text for was, now in zip(calm, others, strict=True))
    told = f"{same}/{len(bodies)} identical ({hits} hit), control {same_again}/{len(bodies)}"
    record_property("default mode", told)
    print(told)

"""Several keys of one upstream: in turn, resting when refused, never lost."""

from collections.abc import Callable
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from baton.semantics.events import Call
from baton.upstreams.base import UpstreamError
from baton.upstreams.endpoint import TransportLimits
from baton.upstreams.registry import build
from baton.upstreams.rotation import KeyRing
from tests.fakes.fake_completions import FakeCompletions, json_answer
from tests.fakes.wire import Exchange
from tests.upstreams.talking import events_of, record

CALL = Call(model="m", prompts=["p"], max_tokens=1)
KEYS = ("sk-key-one-0000", "sk-key-two-0000", "sk-key-three-000")


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 9)), max_size=20), st.floats(0, 10))
def test_a_resting_key_is_not_taken_while_another_is_ready(
    rests: list[tuple[int, float]], now: float
) -> None:
    """And where all rest it is the one that rests least."""
    ring, until = KeyRing(3), [0.0, 0.0, 0.0]
    for number, end in rests:
        ring.rest(number, end)
        until[number] = max(until[number], end)
    taken = ring.take(now)
    if ring.ready(now):
        assert until[taken] <= now
    else:
        assert until[taken] == min(until)


def test_they_take_turns() -> None:
    """One after the other; a rest is over when its time has come."""
    ring = KeyRing(3)
    assert [ring.take(0.0) for _ in range(4)] == [0, 1, 2, 0]
    ring.rest(1, 5.0)
    assert [ring.take(1.0) for _ in range(2)] == [2, 0]
    assert ring.take(5.0) == 1


class Choosy(FakeCompletions):
    """A server that answers each key as it is told."""

    def __init__(self, statuses: dict[str, int]) -> None:
        super().__init__("openai")
        self.statuses = statuses
        self.keys: list[str] = []

    async def _respond(self, exchange: Exchange) -> None:
        key = exchange.request.headers["authorization"].removeprefix("Bearer ")
        self.keys.append(key)
        status = self.statuses.get(key, 200)
        if status == 200:
            return await super()._respond(exchange)
        error = {"message": f"no, {key}", "type": "x", "code": "rate_limit_exceeded"}
        return await exchange.send(json_answer({"error": error}, f"{status} No"))


def run(statuses: dict[str, int], scenario: Callable[[Choosy, Any], Any]) -> None:
    async def whole() -> None:
        async with Choosy(statuses) as fake:
            given = record(fake, secret=KEYS[0], more_secrets=KEYS[1:])
            upstream = build(given, TransportLimits())
            await scenario(fake, upstream)
            await upstream.close()

    uvloop.run(whole())


def test_each_request_takes_the_next_key() -> None:
    """On one connection, without a lost request."""

    async def scenario(fake: Choosy, upstream: Any) -> None:
        for _ in range(4):
            await events_of(upstream, CALL)
        assert fake.keys == [*KEYS, KEYS[0]]
        assert fake.accepted == 1

    run({}, scenario)


@pytest.mark.parametrize("status", [401, 403, 429])
def test_a_refused_key_is_followed_by_the_next(status: int) -> None:
    """The caller notices nothing, and the key rests from then on."""

    async def scenario(fake: Choosy, upstream: Any) -> None:
        for _ in range(3):
            assert await events_of(upstream, CALL)
        assert fake.keys == [KEYS[0], KEYS[1], KEYS[2], KEYS[1]]

    run({KEYS[0]: status}, scenario)


def test_where_none_is_left_the_answer_is_told() -> None:
    """Each key once, then the last refusal: overloaded, without a word of a key."""

    async def scenario(fake: Choosy, upstream: Any) -> None:
        with pytest.raises(UpstreamError) as caught:
            await upstream.open(CALL)
        assert (caught.value.kind, caught.value.status) == ("overloaded", 429)
        assert fake.keys == list(KEYS)
        with pytest.raises(UpstreamError):
            await upstream.open(CALL)
        assert len(fake.keys) == 4  # all rest: one more try, not three

    run(dict.fromkeys(KEYS, 429), scenario)


def test_other_errors_are_not_the_keys() -> None:
    """A 500 is answered as ever; the key does not rest."""

    async def scenario(fake: Choosy, upstream: Any) -> None:
        with pytest.raises(UpstreamError):
            await upstream.open(CALL)
        assert fake.keys == [KEYS[0]]

    run({KEYS[0]: 500}, scenario)

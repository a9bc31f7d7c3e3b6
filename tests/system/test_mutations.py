"""Real answers of every dialect's fake with something wrong in them: understood, or refused.

What a server says is untrusted. Each answer is recorded on the wire, then a part of its JSON is put
in another's place, an event is lost, said twice or out of turn, or bytes are changed, and all of it
comes in other pieces. The decoder may give the events of an answer that can be, or raise an error
of the upstream's or the request's; nothing else, and never an answer that no caller could read.
"""

import asyncio
import copy
import json
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from baton.errors import RequestError
from baton.semantics.assemble import assemble, encode_completion
from baton.semantics.events import Call, Delta, Event
from baton.semantics.usage import clamp, to_wire
from baton.stores.base import UpstreamRecord
from baton.upstreams import registry
from baton.upstreams.base import Adapter, UpstreamError
from baton.upstreams.endpoint import TransportLimits
from tests.fakes.dialects import FAKES

BODY_BYTES_MAX = 1_000_000
ROUNDS = 60
"""Of each kind of call on each dialect; `make soak` makes a hundred times as many."""
JUNK: list[Any] = [
    None, True, 0, -1, 2**31, 2**63, 2**200, 1.5, -0.5, 1e308, "", "x", "stop", "\ud800", "\x00",
    [], {}, [None], [[]], [1, 2], {"a": 1}, {"content": 5}, ["a"] * 50, "é" * 500,
]  # fmt: skip

Mutation = Callable[[random.Random, list[bytes]], list[bytes]]


async def recorded(dialect: str, calls: Sequence[Call]) -> list[tuple[Adapter, Call, bytes]]:
    """What the fake answers to each of the calls."""
    found = []
    async with FAKES[dialect]() as fake:
        record = UpstreamRecord(name="u", url=fake.url, dialect=dialect, models={})
        upstream = registry.build(record, TransportLimits())
        try:
            for call in calls:
                status, body = await upstream.fetch(upstream.adapter.request(call), BODY_BYTES_MAX)
                assert 200 == status, (dialect, call, body)
                found.append((upstream.adapter, call, body))
        finally:
            await upstream.close()
    return found


def calls_of(dialect: str) -> list[Call]:
    """Plain ones, and one for everything that the dialect does natively."""
    native = registry.dialect(dialect).adapter().capabilities
    plain = Call(model="m", prompts=["the river is"], max_tokens=6)
    found = [plain]
    if native.logprobs:
        found.append(msgspec.structs.replace(plain, logprobs=2, scored=native.scored))
    if native.n:
        found.append(msgspec.structs.replace(plain, n=3))
    if native.echo and native.prompt_logprobs:
        found.append(msgspec.structs.replace(plain, echo=True, logprobs=0))
    if native.suffix:
        found.append(msgspec.structs.replace(plain, suffix=" of stone"))
    return [msgspec.structs.replace(call, stream=on) for call in found for on in (False, True)]


def nodes(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a JSON value, as its container and key."""
    keys: Sequence[Any] = list(value) if isinstance(value, dict) else range(len(value))
    found = []
    for key in keys:
        found.append((value, key))
        if isinstance(value[key], dict | list):
            found += nodes(value[key])
    return found


def other_values(chance: random.Random, events: list[bytes]) -> list[bytes]:
    """One to three places of one event hold something else, or nothing."""
    at = chance.randrange(len(events))
    head, brace, text = events[at].partition(b"{")
    try:
        value = json.loads(brace + text)
    except ValueError:
        return events
    for _ in range(chance.randint(1, 3)):
        places = nodes(value)
        if not places:
            break
        container, key = chance.choice(places)
        if isinstance(container, dict) and chance.random() < 0.2:
            del container[key]
        else:
            container[key] = copy.deepcopy(chance.choice(JUNK))
    ending = b"\n\n" if text.endswith(b"\n\n") else b"\n"
    changed = head + json.dumps(value, ensure_ascii=chance.random() < 0.5).encode(
        "utf-8", "surrogatepass"
    )
    return [*events[:at], changed + ending, *events[at + 1 :]]


def other_order(chance: random.Random, events: list[bytes]) -> list[bytes]:
    """An event is lost, said twice, or comes at another time."""
    found = list(events)
    event = found.pop(chance.randrange(len(found)))
    for _ in range(chance.randint(0, 2)):
        found.insert(chance.randint(0, len(found)), event)
    return found


def other_bytes(chance: random.Random, events: list[bytes]) -> list[bytes]:
    """Some bytes are lost, or others, or more."""
    data = bytearray(b"".join(events))
    at = chance.randrange(len(data))
    length = chance.choice((1, 2, 50, len(data)))
    put = chance.choice(
        (b"", b"\xff", b"\xed\xa0\x80", b"\0", b"\n", b"\r\n\r\n", b"}", b'"', b"9")
    )
    data[at : at + length] = put * chance.choice((1, 3))
    return [bytes(data)]


MUTATIONS: list[Mutation] = [other_values, other_values, other_order, other_bytes]


def events_in(body: bytes) -> list[bytes]:
    """The parts of an answer: events, lines, or all of it."""
    mark = b"\n\n" if b"\n\n" in body else b"\n"
    return [part + mark for part in body.split(mark) if part]


def decoded(adapter: Adapter, call: Call, pieces: Sequence[bytes]) -> list[Event]:
    decoder = adapter.decoder(call)
    found: list[Event] = []
    for piece in pieces:
        found += decoder.feed(piece)
        if decoder.whole:
            break
    return [*found, *decoder.finish()]


def in_pieces(chance: random.Random, data: bytes) -> list[bytes]:
    size = chance.choice((1, 7, 100, len(data) or 1))
    return [data[at : at + size] for at in range(0, len(data), size)]


def check(call: Call, events: list[Event]) -> None:
    """An answer that is taken for whole can be told to a caller, and charged."""
    choices = len(call.prompts) * call.n
    ended: set[int] = set()
    deltas = [event for event in events if isinstance(event, Delta)]
    for delta in deltas:
        assert 0 <= delta.index < choices
        assert delta.index not in ended
        if delta.finish_reason is not None:
            ended.add(delta.index)
        if delta.logprobs is not None:
            told = delta.logprobs
            lists = (told.tokens, told.token_logprobs, told.top_logprobs, told.text_offset)
            assert 1 == len({len(each) for each in lists})
            values = [
                *told.token_logprobs,
                *(v for top in told.top_logprobs for v in (top or {}).values()),
            ]
            assert all(value is None or (math.isfinite(value) and value <= 0) for value in values)
    assert set(range(choices)) == ended
    usages = [event.usage for event in events if not isinstance(event, Delta)]
    usage = to_wire(clamp(usages[-1])) if usages else None
    shown = assemble(deltas, choices, logprobs=call.logprobs is not None)
    json.loads(encode_completion("cmpl-1", 1, "m", shown, usage, None))  # type: ignore[arg-type]


def mutate(dialect: str, seed: int, rounds: int) -> dict[str, int]:
    """How many were understood and how many refused. Fails with the seed where neither."""
    outcomes = {"understood": 0, "refused": 0}
    for adapter, call, body in asyncio.run(recorded(dialect, calls_of(dialect))):
        check(call, decoded(adapter, call, [body]))
        for number in range(rounds):
            chance = random.Random(f"{seed} {number}")
            parts = chance.choice(MUTATIONS)(chance, events_in(body))
            pieces = in_pieces(chance, b"".join(parts))
            try:
                events = decoded(adapter, call, pieces)
            except (UpstreamError, RequestError):
                outcomes["refused"] += 1
                continue
            except BaseException as error:
                error.add_note(f"{dialect} {call} {b''.join(pieces)!r}")
                raise
            try:
                check(call, events)
            except BaseException as error:
                error.add_note(f"{dialect} {call} {b''.join(pieces)!r}")
                raise
            outcomes["understood"] += 1
    return outcomes


@pytest.mark.parametrize("dialect", sorted(FAKES))
def test_mutations(dialect: str) -> None:
    """Many are refused and many are understood, so that neither is for nothing."""
    outcomes = mutate(dialect, 1, ROUNDS)
    assert min(outcomes.values()) > ROUNDS // 4, outcomes


@pytest.mark.soak
@pytest.mark.parametrize("dialect", sorted(FAKES))
def test_many_more(dialect: str) -> None:
    """Other ones."""
    mutate(dialect, 2, 100 * ROUNDS)

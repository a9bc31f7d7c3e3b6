"""Answers that are made once: what is kept, and what those who follow it get."""

import asyncio
import functools
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from baton.http.exchange import Exchange, HeaderPair, header_lines, note
from baton.http.kept import Answered, KeptExchange, follow, replay
from baton.http.paths import Where
from tests.http.serving import filling

EVENTS = [b"data: 1\n\n", b"data: 2\n\n", b"data: [DONE]\n\n"]
HEADERS: list[HeaderPair] = [(b"content-type", b"text/event-stream"), (b"x-ratelimit-limit", b"9")]


class Wire:
    """A connection that keeps what is written to it."""

    def __init__(self, headers: list[HeaderPair] | None = None) -> None:
        self.headers = headers or []
        self.client_address = "c"
        self.written: list[bytes] = []
        self.aborted = self.write_paused = False
        self.drained = 0

    def date(self) -> bytes:
        return b"date: now\r\n"

    def write(self, data: bytes) -> bool:
        self.written.append(data)
        return not self.write_paused

    def filler(
        self, form: bytes, length: int, encode: Callable[[str], bytes]
    ) -> Callable[[str], bool]:
        return filling(self.write, form, length, encode)

    def abort(self) -> None:
        self.aborted = True

    async def drain(self) -> None:
        self.drained += 1

    def exchange_done(self, exchange: Exchange) -> None:
        pass


def exchange_on(wire: Wire) -> Exchange:
    return Exchange(wire, note(wire.headers), where=Where("m"), http_1_0=False, keep=True)


def kept_of(asked: Exchange, answers: list[Answered]) -> KeptExchange:
    async def keep(answered: Answered) -> None:
        answers.append(answered)

    return KeptExchange(asked, keep)


def followed(
    work: Callable[[KeptExchange], None], steps: int = 0, own: list[HeaderPair] | None = None
) -> Wire:
    """What one follower gets that began `steps` turns of the loop before the work was done."""

    async def run() -> Wire:
        wire = Wire()
        kept = kept_of(exchange_on(Wire()), [])
        if not steps:
            work(kept)
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            group.create_task(follow(kept, exchange_on(wire), own))
            for _ in range(steps):
                await asyncio.sleep(0)
            if steps:
                work(kept)
        return wire

    return asyncio.run(run())


def streamed(kept: KeptExchange) -> None:
    kept.start_stream(header_lines(HEADERS))
    for event in EVENTS[:-1]:
        assert kept.sender(event[:5], event[-2:], str.encode)(event[5:-2].decode())
    kept.end(EVENTS[-1])


def test_it_asks_as_its_caller_did() -> None:
    """Body, model and headers are the caller's, but its key and its page's origin."""
    headers = [(b"idempotency-key", b"k"), (b"origin", b"o"), (b"authorization", b"a")]
    asked = exchange_on(Wire(headers))
    asked.add(b"bo", 9)
    asked.add(b"dy", 9)
    kept = kept_of(asked, [])
    assert (b"body", "m", "c") == (kept.body, kept.model, kept.client)
    assert [(b"authorization", b"a")] == kept.headers


def test_a_whole_answer() -> None:
    """Every follower gets status, headers and body; one that did not begin it gets its own
    headers in place of the first one's."""
    wire = followed(lambda kept: kept.respond(200, header_lines(HEADERS), b"body"))
    assert b"x-ratelimit-limit: 9\r\n" in wire.written[0]
    assert wire.written[0].endswith(b"content-length: 4\r\n\r\nbody")
    wire = followed(
        lambda kept: kept.respond(200, header_lines(HEADERS), b"body"), own=[(b"x-own", b"1")]
    )
    assert b"x-own: 1\r\n" in wire.written[0]
    assert b"x-ratelimit" not in wire.written[0]


@given(cuts=st.lists(st.integers(0, 3), max_size=8), before=st.integers(0, 4))
def test_a_stream_is_followed_event_by_event(cuts: list[int], before: int) -> None:
    """However the follower falls between the writes, it gets each event in one write, once."""

    async def run() -> list[bytes]:
        wire = Wire()
        kept = kept_of(exchange_on(Wire()), [])
        writes: list[Callable[[], object]] = [lambda: kept.start_stream(header_lines(HEADERS))]
        writes += [functools.partial(kept.send, event) for event in EVENTS[:-1]]
        writes.append(lambda: kept.end(EVENTS[-1]))
        for write in writes[:before]:
            write()
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            group.create_task(follow(kept, exchange_on(wire), None))
            for number, write in enumerate(writes[before:]):
                for _ in range(cuts[number] if number < len(cuts) else 1):
                    await asyncio.sleep(0)
                write()
        return wire.written

    head, *rest = asyncio.run(run())
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    chunks = [b"%x\r\n%b\r\n" % (len(event), event) for event in EVENTS]
    assert [*chunks[:-1], chunks[-1] + b"0\r\n\r\n"] == rest


def test_the_end_may_bring_nothing() -> None:
    """Events that went out already are not sent again with the end."""

    async def run() -> list[bytes]:
        wire = Wire()
        kept = kept_of(exchange_on(Wire()), [])
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            group.create_task(follow(kept, exchange_on(wire), None))
            kept.start_stream(header_lines(HEADERS))
            kept.send(EVENTS[0])
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            kept.end()
        return wire.written

    assert [b"9\r\ndata: 1\n\n\r\n", b"0\r\n\r\n"] == asyncio.run(run())[1:]


def test_what_broke_off() -> None:
    """An answer that was broken off, before or after its head, is broken off for all; one that
    ends in an error is told to its end, and is not whole."""
    assert followed(KeptExchange.abort).aborted

    def cut(kept: KeptExchange) -> None:
        kept.start_stream(header_lines(HEADERS))
        kept.send(EVENTS[0])
        kept.abort()

    wire = followed(cut)
    assert wire.aborted
    assert not any(b"[DONE]" in data for data in wire.written)

    def failed(kept: KeptExchange) -> None:
        kept.start_stream(header_lines(HEADERS))
        kept.keep_alive = False
        kept.send(b"data: error\n\n")
        kept.end()
        assert not kept.whole

    assert followed(failed, steps=2).written[-1].endswith(b"0\r\n\r\n")


def test_a_slow_follower_is_waited_for() -> None:
    """By itself alone: the run goes on."""

    async def run() -> int:
        wire = Wire()
        wire.write_paused = True
        kept = kept_of(exchange_on(Wire()), [])
        streamed(kept)
        assert not kept.paused
        await kept.drain()
        await follow(kept, exchange_on(wire), None)
        return wire.drained

    assert len(EVENTS) - 1 == asyncio.run(run())


def test_what_is_kept_is_what_is_replayed() -> None:
    """A stream and a whole answer come again byte by byte, without the first caller's headers."""

    async def run() -> tuple[list[bytes], list[Answered]]:
        answers: list[Answered] = []
        kept = kept_of(exchange_on(Wire()), answers)
        kept.start_stream(header_lines(HEADERS))
        kept.send(EVENTS[0])
        await kept.keep(b"", *EVENTS[1:])
        whole = kept_of(exchange_on(Wire()), answers)
        await whole.keep(header_lines(HEADERS), b"body")
        wire = Wire()
        for answered in answers:
            replay(answered, exchange_on(wire), [(b"x-own", b"1")])
        return wire.written, answers

    written, [stream, whole] = asyncio.run(run())
    assert (True, b"".join(EVENTS)) == (stream.stream, stream.body)
    assert (False, b"body") == (whole.stream, whole.body)
    assert ((b"content-type", b"text/event-stream"),) == stream.headers == whole.headers
    assert b"x-own: 1\r\n" in written[0]
    assert [b"9\r\ndata: 1\n\n\r\n", b"9\r\ndata: 2\n\n\r\n"] == written[1:3]
    assert written[3] == b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
    assert written[4].endswith(b"content-length: 4\r\n\r\nbody")


def test_a_stream_of_nothing() -> None:
    """Some shapes of answer have no last event: what had none at all is replayed as such."""

    async def run() -> list[bytes]:
        wire = Wire()
        replay(Answered((), True, b""), exchange_on(wire), [])
        return wire.written

    assert b"0\r\n\r\n" == asyncio.run(run())[-1]

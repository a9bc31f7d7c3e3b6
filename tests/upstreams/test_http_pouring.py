"""A stream that is poured, from the bytes of its socket: the same texts however they arrive."""

import asyncio
import itertools
from collections.abc import Sequence

import msgspec
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from baton.semantics.events import Call, Delta, Event
from baton.upstreams.base import Unwatched, UpstreamError
from baton.upstreams.completions_wire import StreamDecoder
from baton.upstreams.http import HttpStream
from tests.fakes.wire import LAST_CHUNK, chunk, chunked_head
from tests.upstreams.wired import Bench

CALL = Call(model="m", prompts=["p"], max_tokens=500, stream=True)
TEXTS = ["one", " two", "日本", 'quo"te', "line\n", " six", "end"]


def event(text: str) -> bytes:
    """The HTTP chunk of one event; "end" ends the choice."""
    choice = {"text": text, "index": 0, "finish_reason": "stop" if text == "end" else None}
    return chunk(b"data: " + msgspec.json.encode({"id": "x", "choices": [choice]}) + b"\n\n")


HEAD = chunked_head("Content-Type: text/event-stream")
STREAM = b"".join(map(event, TEXTS))
END = chunk(b"data: [DONE]\n\n") + LAST_CHUNK


class Pouring:
    """An answer that is read as a caller who keeps up reads it."""

    def __init__(self, *, wants: int = 1000) -> None:
        self.bench, self.texts, self._wants = Bench(), list[str](), wants
        self.poured = list[str]()
        head = b"POST / HTTP/1.1\r\nContent-Length: "
        self.response = self.bench.connection.send(head, b"{}")
        self.decoder = StreamDecoder(CALL)
        self.stream = HttpStream(self.response, self.decoder, Unwatched(), ())
        self.task = asyncio.get_running_loop().create_task(self._read())

    async def receive(self, *parts: bytes) -> None:
        """Each in one read, as far as one has room; the reader runs in between."""
        for part in parts:
            self.bench.receive(part)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def _read(self) -> list[str]:
        await self.response.wait_head()
        while events := await self.stream.read():
            self._take(events)
            await self.stream.pour(self._take, (self.poured.append, self._text))
        return self.texts

    def _take(self, events: Sequence[Event]) -> bool:
        self.texts += [each.text for each in events if isinstance(each, Delta)]
        return len(self.texts) < self._wants

    def _text(self, text: str) -> bool:
        self.texts.append(text)
        return len(self.texts) < self._wants


@settings(max_examples=300, deadline=None)
@given(places=st.lists(st.integers(0, 2000), max_size=20), wants=st.integers(1, 9))
def test_split_anywhere(places: list[int], wants: int) -> None:
    """The texts are the same however the bytes are cut into reads, and whenever the caller lags."""

    async def scenario() -> None:
        data = STREAM + END
        edges = sorted({0, len(data), *(place % len(data) for place in places)})
        pouring = Pouring(wants=wants)
        await pouring.receive(HEAD, *(data[a:b] for a, b in itertools.pairwise(edges)))
        assert await pouring.task == TEXTS
        assert pouring.bench.owner.told == ["released"]

    uvloop.run(scenario())


def test_texts_are_given_in_the_call_that_read_them() -> None:
    """One in a read, a few in a read, known or not by what stands around them."""

    async def scenario() -> None:
        pouring = Pouring()
        await pouring.receive(HEAD + event("first"), event(" a"))
        for reads in ([" b"], [" c", " d"], ['"'], [" e"]):
            before = len(pouring.texts)
            pouring.bench.receive(b"".join(map(event, reads)))
            assert pouring.texts[before:] == reads
        assert pouring.poured == [" a", " b", " c", " d", '"', " e"]
        await pouring.receive(event("end") + END)
        assert (await pouring.task)[-1] == "end"

    uvloop.run(scenario())


def test_pouring_ends_when_its_caller_lags() -> None:
    """What comes then waits for the reader, who is woken."""

    async def scenario() -> None:
        pouring = Pouring(wants=3)
        await pouring.receive(HEAD + event("a"), event("b"))
        pouring.bench.receive(event("c"))
        pouring.bench.receive(event("d"))
        assert pouring.texts == ["a", "b", "c"]
        await pouring.receive()
        await pouring.receive(event("end") + END)
        assert (await pouring.task, pouring.poured) == (["a", "b", "c", "d", "end"], ["b", "c"])

    uvloop.run(scenario())


def test_a_last_text_may_come_with_the_end() -> None:
    """What llhttp has to see is not taken from it."""

    async def scenario() -> None:
        pouring = Pouring()
        await pouring.receive(HEAD + event("a"), event("b"), event("c") + event("end") + END)
        assert await pouring.task == ["a", "b", "c", "end"]
        assert pouring.bench.owner.told == ["released"]

    uvloop.run(scenario())


@pytest.mark.parametrize("behind", [event("more"), b"HTTP/1.1 200 OK\r\n\r\n"])
def test_what_follows_the_end_is_no_text(behind: bytes) -> None:
    """The body has ended though its choice has not: a chunk behind it belongs to nobody."""

    async def scenario() -> None:
        pouring = Pouring()
        await pouring.receive(HEAD + event("a"), event("b"))
        pouring.bench.receive(LAST_CHUNK)
        pouring.bench.receive(behind)
        with pytest.raises(UpstreamError):
            await pouring.task
        assert pouring.texts == ["a", "b"]
        assert "close" in pouring.bench.socket.done or "abort" in pouring.bench.socket.done

    uvloop.run(scenario())


@pytest.mark.parametrize("text", ["known", "un\nknown"])
def test_poured_bytes_count(text: str) -> None:
    """An answer of too many bytes ends though its texts passed by."""

    async def scenario() -> None:
        pouring = Pouring()
        owner = pouring.bench.owner
        owner.limits = msgspec.structs.replace(owner.limits, response_bytes_max=4096)
        await pouring.receive(HEAD + event("a"), *[event(text)] * 100)
        assert pouring.task.done()
        with pytest.raises(UpstreamError) as caught:
            await pouring.task
        assert caught.value.kind == "protocol"
        assert 3000 < len(event(text)) * len(pouring.texts) < 4096

    uvloop.run(scenario())


def test_a_poured_stream_is_not_silent() -> None:
    """Its texts count as signs of life."""

    async def scenario() -> None:
        pouring = Pouring()
        owner, connection = pouring.bench.owner, pouring.bench.connection
        await pouring.receive(HEAD + event("a"), event("b"))
        for _ in range(5):
            owner.tick += 20
            await pouring.receive(event("c"))
            connection.check(owner.tick + 1, 1.0)
        assert connection.alive
        connection.check(owner.tick + 40, 1.0)
        with pytest.raises(UpstreamError) as caught:
            await pouring.task
        assert caught.value.kind == "timeout"

    uvloop.run(scenario())


def test_a_read_that_ends_within_the_size_of_a_chunk() -> None:
    """What follows looks like a chunk of its own that is a text, and is the begin of a longer one:
    of this, too, every text comes, and the answer is whole."""

    async def scenario() -> None:
        one = event(" two")
        size, _, rest = one.partition(b"\r\n")
        within = rest[:-2] + b"\r\n"
        last = (
            b"data: " + msgspec.json.encode({"choices": [{"text": " six", "index": 0}]}) + b"\n\n"
        )
        longer = int(b"1" + size, 16) - len(within) - len(last)
        within += b":" + b"." * (longer - 2) + b"\n" + last
        first, second = one + b"1", size + b"\r\n" + rest
        pouring = Pouring()
        end = within.removeprefix(rest) + b"\r\n" + event("end") + END
        await pouring.receive(HEAD + event("one"), one, first, second, end)
        assert await pouring.task == ["one", " two", " two", " two", " six", "end"]

    uvloop.run(scenario())

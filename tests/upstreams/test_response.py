"""An answer apart from its socket: what the reader sees of what the connection puts in."""

import asyncio

import pytest
import uvloop

from baton.upstreams.base import UpstreamError
from baton.upstreams.failures import failure
from baton.upstreams.response import PARTS_MAX, Response


class Wire:
    """A carrier that notes what it is told."""

    response_bytes_max = 1000

    def __init__(self) -> None:
        self.alive, self.reading_paused, self.touched_tick = True, False, 0
        self.loop = asyncio.get_running_loop()
        self.told: list[str] = []

    def release(self) -> None:
        self.told.append("release")

    def drain(self) -> None:
        self.told.append("drain")

    def resume(self) -> None:
        self.told.append("resume")

    def abort(self) -> None:
        self.told.append("abort")


def test_parts_are_read_joined_then_the_end() -> None:
    """All that waits comes at once; after the last part the connection is given back, once."""

    async def scenario() -> None:
        wire = Wire()
        response = Response(wire)
        response.append(b"ab")
        response.append(b"c")
        assert (await response.read_some(), wire.told) == (b"abc", [])
        response.append(b"d")
        response.complete = True
        assert (await response.read_some(), wire.told) == (b"d", ["release"])
        assert await response.read_some() == b""
        response.close()
        response.dismiss()
        assert wire.told == ["release"]

    uvloop.run(scenario())


def test_the_rest_of_an_answer_whose_connection_is_lost() -> None:
    """Its reader has all it needs, as the dialect's own end came: nothing is left to be drained."""

    async def scenario() -> None:
        wire = Wire()
        response = Response(wire)
        response.append(b"whole")
        response.error = failure("stream", "network")
        assert await response.read_some() == b"whole"
        response.dismiss()
        assert wire.told == []

    uvloop.run(scenario())


def test_reading_resumes_a_paused_connection() -> None:
    """Taking what waits lets the socket be read again; not on a dead connection."""

    async def scenario() -> None:
        wire = Wire()
        response = Response(wire)
        wire.reading_paused = True
        response.append(b"x")
        await response.read_some()
        assert wire.told == ["resume"]
        wire.alive = False
        response.append(b"y")
        await response.read_some()
        assert wire.told == ["resume"]

    uvloop.run(scenario())


def test_an_error_comes_after_what_was_received() -> None:
    """The reader gets the bytes first, then the error, every time it asks."""

    async def scenario() -> None:
        response = Response(Wire())
        response.append(b"x")
        response.error = failure("stream", "network")
        assert await response.read_some() == b"x"
        for _ in range(2):
            with pytest.raises(UpstreamError):
                await response.read_some()

    uvloop.run(scenario())


def test_read_all_is_bounded() -> None:
    """A byte too many closes; exactly as many do not."""

    async def scenario() -> None:
        for size, expected in ((4, ["release"]), (5, ["abort"])):
            wire = Wire()
            response = Response(wire)
            response.append(b"x" * size)
            response.complete = expected == ["release"]
            if size == 4:
                assert await response.read_all(4) == b"xxxx"
            else:
                with pytest.raises(UpstreamError):
                    await response.read_all(4)
            assert wire.told == expected

    uvloop.run(scenario())


def test_many_small_parts_are_joined() -> None:
    """Objects are bounded as well as bytes."""

    async def scenario() -> None:
        response = Response(Wire())
        for _ in range(PARTS_MAX + 1):
            response.append(b"xy")
        assert response.buffered_bytes == 2 * (PARTS_MAX + 1)
        assert await response.read_some() == b"xy" * (PARTS_MAX + 1)

    uvloop.run(scenario())


def test_headers_are_found_by_name() -> None:
    """By lower-case name, trimmed, the first of several; never inside another's value."""

    async def scenario() -> None:
        response = Response(Wire())
        response.head = (
            b"HTTP/1.1 200 OK\r\nX-Note: retry-after: 5\r\nA:1\r\na: 2\r\nRetry-After:  9 \r\n"
        )
        response.head_folded = response.head.lower()
        found = [response.header(name) for name in ("a", "retry-after", "x-note", "b")]
        assert found == ["1", "9", "retry-after: 5", None]

    uvloop.run(scenario())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"Content-Type: text/event-stream", True),
        (b"Content-Type:text/event-stream;charset=utf-8", True),
        (b"CONTENT-TYPE: TEXT/EVENT-STREAM", True),
        (b"X: y", True),
        (b"Content-Type: text/html", False),
        (b"Content-Type: x-text/event-stream", False),
    ],
)
def test_media_types(line: bytes, expected: bool) -> None:
    """In any spelling; an answer that does not say is believed."""

    async def scenario() -> None:
        response = Response(Wire())
        response.head = b"HTTP/1.1 200 OK\r\n" + line + b"\r\n"
        response.head_folded = response.head.lower()
        assert response.is_of(b"text/event-stream") is expected

    uvloop.run(scenario())


def test_state_is_in_the_repr() -> None:
    """What a log shows of an answer."""

    async def scenario() -> None:
        response = Response(Wire())
        assert repr(response) == "<Response 0 running received=0>"
        response.close()
        assert repr(response) == "<Response 0 failed received=0>"

    uvloop.run(scenario())


def test_what_comes_is_poured() -> None:
    """In the call in which it came, until the taker has enough; the rest, and the end, are read."""

    async def scenario() -> None:
        response, taken = Response(Wire()), []

        def take(data: bytes) -> bool:
            taken.append(data)
            return len(taken) < 3

        pouring = asyncio.get_running_loop().create_task(response.pour(take))
        await asyncio.sleep(0)
        for part in (b"a", b"b", b"c"):
            response.append(part)
            response.came()
            assert taken[-1] == part  # at once, and nobody was woken for it
        await pouring
        response.append(b"d")
        response.came()
        assert taken == [b"a", b"b", b"c"]
        assert await response.read_some() == b"d"

    uvloop.run(scenario())


def test_pouring_ends_before_the_end() -> None:
    """The last part comes with the end, and both are the reader's; so is an error."""

    async def scenario() -> None:
        response = Response(Wire())
        pouring = asyncio.get_running_loop().create_task(response.pour(lambda data: True))
        await asyncio.sleep(0)
        response.append(b"last")
        response.complete = True
        response.came()
        await pouring
        assert await response.read_some() == b"last"
        assert await response.read_some() == b""
        broken = Response(Wire())
        pouring = asyncio.get_running_loop().create_task(broken.pour(lambda data: True))
        await asyncio.sleep(0)
        broken.error = failure("stream", "network", "cut")
        broken.wake()
        await pouring
        with pytest.raises(UpstreamError):
            await broken.read_some()

    uvloop.run(scenario())


def test_what_a_taker_raises_is_raised_where_it_is_awaited() -> None:
    """Not in the loop's callback, where nobody would hear of it."""

    async def scenario() -> None:
        response = Response(Wire())

        def take(data: bytes) -> bool:
            raise ValueError("a bug")

        pouring = asyncio.get_running_loop().create_task(response.pour(take))
        await asyncio.sleep(0)
        response.append(b"a")
        response.came()
        with pytest.raises(ValueError, match="a bug"):
            await pouring

    uvloop.run(scenario())


def test_a_cancelled_pouring_closes() -> None:
    async def scenario() -> None:
        wire = Wire()
        response = Response(wire)
        pouring = asyncio.get_running_loop().create_task(response.pour(lambda data: True))
        await asyncio.sleep(0)
        pouring.cancel()
        await asyncio.gather(pouring, return_exceptions=True)
        assert wire.told == ["abort"]

    uvloop.run(scenario())

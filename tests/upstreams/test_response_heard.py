"""An answer that nobody reads yet: whoever listens hears of the first news, once."""

import asyncio

import uvloop

from baton.upstreams.failures import failure
from baton.upstreams.response import Response
from tests.upstreams.test_response import Wire


def test_a_whole_answer_is_heard_of_and_taken() -> None:
    """Its body stays until it is taken; then the connection is given back, once."""

    async def scenario() -> None:
        wire, heard = Wire(), []
        response = Response(wire)
        response.listen(lambda: heard.append(response.whole_body))
        response.append(b"body")
        response.status, response.complete = 200, True
        response.came()
        assert [b"body"] == heard
        assert (b"body", []) == (response.whole_body, wire.told)
        response.taken()
        assert (None, ["release"]) == (response.whole_body, wire.told)
        response.wake()
        response.close()
        response.taken()
        assert ([b"body"], ["release"]) == (heard, wire.told)

    uvloop.run(scenario())


def test_what_is_no_whole_body() -> None:
    """Nothing, a part, and parts: they are for a reader, who finds all of it."""

    async def scenario() -> None:
        wire, heard = Wire(), []
        response = Response(wire)
        response.listen(lambda: heard.append(response.whole_body))
        response.status = 200
        response.append(b"a")
        response.came()
        assert [None] == heard
        response.append(b"b")
        response.complete = True
        response.came()
        assert ([None], None) == (heard, response.whole_body)
        assert (b"ab", b"") == (await response.read_some(), await response.read_some())
        assert ["release"] == wire.told
        empty = Response(wire)
        empty.complete = True
        assert empty.whole_body is None

    uvloop.run(scenario())


def test_a_failure_is_news() -> None:
    async def scenario() -> None:
        heard: list[bool] = []
        response = Response(Wire())
        response.listen(lambda: heard.append(response.error is not None))
        response.error = failure("first_byte", "network", "gone")
        response.wake()
        response.wake()
        assert [True] == heard

    uvloop.run(scenario())


def test_whoever_stopped_listening_hears_nothing() -> None:
    """A reader is woken instead."""

    async def scenario() -> None:
        heard: list[None] = []
        response = Response(Wire())
        response.listen(lambda: heard.append(None))
        response.unheard()
        async with asyncio.TaskGroup() as group:
            group.create_task(response.wait_head())
            await asyncio.sleep(0)
            response.append(b"x")
            response.status = 200
            response.came()
        assert ([], b"x") == (heard, await response.read_some())

    uvloop.run(scenario())


def test_letting_go_is_news_to_whoever_still_listens() -> None:
    """So a listener must know itself whether it is over."""

    async def scenario() -> None:
        wire, heard = Wire(), []
        response = Response(wire)
        response.listen(lambda: heard.append(response.error))
        response.close()
        response.close()
        assert ["abort"] == wire.told
        [error] = heard
        assert error is not None
        assert "network" == error.kind

    uvloop.run(scenario())

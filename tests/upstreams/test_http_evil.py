"""An upstream that means harm gets nowhere: a right answer or UpstreamError, in bounded memory."""

import asyncio
import tracemalloc

import msgspec
import pytest
import uvloop

from baton.semantics.events import Delta, Event, UsageReported
from baton.upstreams.base import UpstreamError
from baton.upstreams.endpoint import TransportLimits, parse
from baton.upstreams.http import HttpUpstream
from baton.upstreams.openai import OpenAIAdapter
from baton.upstreams.transport import Transport
from tests.fakes import evil
from tests.fakes.wire import Exchange, WireServer

LIMITS = TransportLimits(
    first_byte_timeout_s=2.0, stall_timeout_s=2.0, total_timeout_s=30.0,
    response_bytes_max=3_000_000,
)  # fmt: skip
MEMORY_BYTES_MAX = 24 * 1024 * 1024
CASES = evil.cases()


async def outcome(case: evil.Case) -> tuple[str, list[UsageReported]]:
    """The text and the usage of a case; raises what the upstream raises."""

    async def answer(exchange: Exchange) -> None:
        for part in case.parts():
            await exchange.send(part)
            await asyncio.sleep(0)
        exchange.close()

    async with WireServer(answer) as server:
        endpoint = parse(server.url, allow_private=True, limits=LIMITS)
        upstream = HttpUpstream("evil", OpenAIAdapter(), Transport(endpoint))
        try:
            call = msgspec.structs.replace(evil.CALL, stream=case.stream)
            stream = await upstream.open(call)
            found: list[Event] = []
            while events := await stream.read():
                found += events
        finally:
            await server.until(lambda: upstream.in_flight == 0, 1.0)
            await upstream.close()
    text = "".join(event.text for event in found if isinstance(event, Delta))
    return text, [event for event in found if isinstance(event, UsageReported)]


@pytest.mark.parametrize(
    "case", [case for case in CASES if not case.harmless], ids=lambda c: c.name
)
def test_harm_ends_in_an_upstream_error(case: evil.Case) -> None:
    """Nothing else is raised, no text is taken for whole, the connection is gone, memory small."""
    tracemalloc.start()
    try:
        with pytest.raises(UpstreamError) as caught:
            uvloop.run(outcome(case))
        assert tracemalloc.get_traced_memory()[1] < MEMORY_BYTES_MAX
    finally:
        tracemalloc.stop()
    assert caught.value.kind in {"protocol", "status", "network"}
    assert "boom" not in f"{caught.value} {caught.value.detail}"


@pytest.mark.parametrize("case", [case for case in CASES if case.harmless], ids=lambda c: c.name)
def test_oddities_are_understood(case: evil.Case) -> None:
    """The text is exact; of an unbelievable usage nothing is reported."""
    text, usages = uvloop.run(outcome(case))
    assert text == case.text
    assert usages == []


def test_there_are_enough_cases() -> None:
    """The table is not cut down by accident."""
    assert len({(case.name, case.stream) for case in CASES}) == len(CASES) >= 100

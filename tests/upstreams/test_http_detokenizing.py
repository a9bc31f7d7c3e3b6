"""The text of token ids, through the server that knows them."""

import asyncio

import pytest

from baton.errors import RequestError
from baton.stores.base import UpstreamRecord
from baton.upstreams.base import UpstreamError
from baton.upstreams.endpoint import TransportLimits
from baton.upstreams.registry import build
from tests.fakes import word_model
from tests.fakes.dialects import FAKES


async def told(dialect: str, ids: list[int], *, gone: bool = False) -> str:
    async with FAKES[dialect]() as fake:
        record = UpstreamRecord(name="u", url=fake.url, dialect=dialect, models={})
        upstream = build(record, TransportLimits())
        if gone:
            await fake.__aexit__(None, None, None)
        try:
            return await upstream.detokenize("m", ids)
        finally:
            await upstream.close()


def test_a_server_that_has_the_route() -> None:
    """Its own words for its own ids."""
    assert "the river" == asyncio.run(told("llama-server", word_model.encode("the river")))


def test_a_server_that_has_none() -> None:
    """Is not asked: the caller is told what would work."""
    with pytest.raises(RequestError) as refused:
        asyncio.run(told("mistral", [1]))
    assert "prompt" == refused.value.param


def test_a_server_that_is_gone() -> None:
    """Is a failure like any other: another upstream may be asked."""
    with pytest.raises(UpstreamError) as failed:
        asyncio.run(told("llama-server", [1], gone=True))
    assert failed.value.retryable

"""The rest of an answer."""

import asyncio

import pytest

from baton.fills.source import gather
from baton.semantics.events import Delta
from baton.upstreams.base import UpstreamError
from baton.upstreams.failures import failure
from tests.fakes.sources import Given


def test_all_batches_in_their_order() -> None:
    """Until there is none left; what breaks on the way breaks the whole."""
    batches = [[Delta(0, "a"), Delta(1, "b")], [Delta(0, "c", "stop")]]
    assert [*batches[0], *batches[1]] == asyncio.run(gather(Given(*batches)))
    with pytest.raises(UpstreamError):
        asyncio.run(gather(Given(batches[0], failure("stream", "network"))))

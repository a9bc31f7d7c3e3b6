"""Azure's addresses and header."""

import pytest
import uvloop

from baton.semantics.events import Call
from baton.upstreams.endpoint import TransportLimits
from baton.upstreams.registry import build, dialect
from tests.fakes.fake_completions import FakeCompletions
from tests.upstreams.talking import events_of, record

DEPLOYMENT = "/openai/deployments/gpt/completions?api-version=2024-10-21"


def test_the_key_has_a_header_of_its_own() -> None:
    """`api-key`, without "Bearer"."""
    assert dialect("azure").authorize("k") == (("api-key", "k"),)


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("", "/openai/v1/completions"),
        ("/openai/deployments/gpt?api-version=2024-10-21", DEPLOYMENT),
    ],
)
def test_both_addresses(given: str, asked: str) -> None:
    """A bare host means the v1 routes; a deployment keeps its version in every request."""

    async def scenario() -> None:
        async with FakeCompletions("azure") as fake:
            upstream = build(record(fake, given, secret="azure-key"), TransportLimits())
            await events_of(upstream, Call(model="m", prompts=["p"], max_tokens=1))
            [request] = fake.requests
            assert request.path == asked
            assert request.headers["api-key"] == "azure-key"
            assert "authorization" not in request.headers
            await upstream.close()

    uvloop.run(scenario())

"""An upstream of a dialect and a fake that speaks it: what tests of dialects share."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from baton.semantics.events import Call, Delta, Event, Usage, UsageReported
from baton.stores.base import UpstreamRecord
from baton.upstreams.base import Adapter, UpstreamError
from baton.upstreams.endpoint import TransportLimits
from baton.upstreams.http import HttpUpstream
from baton.upstreams.registry import build
from tests.fakes import word_model
from tests.fakes.fake_completions import FakeCompletions


def record(fake: FakeCompletions, path: str = "", **fields: Any) -> UpstreamRecord:
    """The stored upstream that is this fake, whose URL an operator gave with this path."""
    given = {"name": "up", "url": fake.url + path, "dialect": fake.dialect, "models": {"m": "m"}}
    return UpstreamRecord(**{**given, **fields})


@contextlib.asynccontextmanager
async def talking(
    fake: FakeCompletions, path: str = "", **fields: Any
) -> AsyncIterator[HttpUpstream]:
    """The upstream that speaks to this fake, whose URL an operator gave with this path."""
    async with fake:
        built = build(record(fake, path, **fields), TransportLimits())
        try:
            yield built
        finally:
            await built.close()


async def events_of(built: HttpUpstream, call: Call) -> list[Event]:
    stream = await built.open(call)
    found: list[Event] = []
    while events := await stream.read():
        found += events
    return found


def text_of(events: Sequence[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


def finish_of(events: Sequence[Event]) -> list[str]:
    """Every finish_reason that was said."""
    said = [event.finish_reason for event in events if isinstance(event, Delta)]
    return [reason for reason in said if reason is not None]


def usage_of(events: Sequence[Event]) -> Usage:
    return [event for event in events if isinstance(event, UsageReported)][-1].usage


def decoded(adapter: Adapter, call: Call, pieces: Sequence[bytes]) -> list[Event] | str:
    """The events of an answer that came in these pieces, or what is wrong with it."""
    decoder = adapter.decoder(call)
    found: list[Event] = []
    try:
        for piece in pieces:
            found += decoder.feed(piece)
        return [*found, *decoder.finish()]
    except UpstreamError as error:
        return f"{error.kind}: {error.detail}"


def modelled(prompt: str, max_tokens: int, **sampling: Any) -> word_model.Generated:
    """What the fakes' model makes of a prompt."""
    return word_model.generate(prompt, word_model.Sampling(max_tokens, **sampling))

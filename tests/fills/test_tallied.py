"""Usage where the upstream tells none."""

import asyncio

import msgspec

from baton.fills.source import gather
from baton.fills.tallied import Tallied
from baton.semantics.events import Call, Delta, Usage
from tests.fakes.sources import Given

CALL = Call(model="m", prompts=["abc", [1, 2]], max_tokens=5)
TEXTS = [Delta(0, "four", "stop"), Delta(1, "much too long", "length")]


class Guessed(Given):
    """Of an upstream that reported nothing."""

    @property
    def usage(self) -> Usage:
        return msgspec.structs.replace(super().usage, cached_tokens=9, estimated=True)


class Letters:
    """Every character is a token, and one begins each prompt."""

    def __init__(self, *, there: bool = True) -> None:
        self.there, self.asked = there, 0

    async def counts(self, texts: list[str], *, start: bool) -> list[int] | None:
        self.asked += 1
        return [len(text) + start for text in texts] if self.there else None


def test_it_is_counted_where_nobody_did() -> None:
    """Prompts from the beginning, the answer at its end; no choice beyond max_tokens, no detail
    beyond its total; marked all the same."""
    source = Tallied(Guessed([TEXTS[0]], [TEXTS[1]]), CALL, Letters())
    assert Usage(10, 0, 9, estimated=True) == source.usage

    async def run() -> None:
        await source.read()
        assert Usage(4 + 2, 1, 6, estimated=True) == source.usage
        await gather(source)

    asyncio.run(run())
    assert Usage(4 + 2, 4 + 5, 6, estimated=True) == source.usage
    assert 2 == source.generated


def test_a_report_is_left_as_it_is() -> None:
    """The upstream's own count is better than any of a text."""
    counter = Letters()
    source = Tallied(Given(TEXTS), CALL, counter)
    asyncio.run(gather(source))
    assert (Usage(10, 2), 1) == (source.usage, counter.asked)


def test_a_suffix_is_of_each_prompt() -> None:
    """Without the token that begins prompts."""
    call = msgspec.structs.replace(CALL, suffix="yz")
    source = Tallied(Guessed(TEXTS), call, Letters())
    asyncio.run(gather(source))
    assert 4 + 2 + 2 * 2 == source.usage.prompt_tokens


def test_what_cannot_be_known_stays_a_guess() -> None:
    """The vocabulary is away, or an echo of ids hides where the answer begins."""
    source = Tallied(Guessed(TEXTS), CALL, Letters(there=False))
    asyncio.run(gather(source))
    assert Usage(10, 2, 9, estimated=True) == source.usage
    call = msgspec.structs.replace(CALL, echo=True)
    source = Tallied(Guessed(TEXTS), call, Letters())
    asyncio.run(gather(source))
    assert Usage(6, 2, 6, estimated=True) == source.usage


def test_closing_goes_through() -> None:
    """To the call."""
    given = Given()
    Tallied(given, CALL, Letters()).close()
    assert given.closed

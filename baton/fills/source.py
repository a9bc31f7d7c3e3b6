"""The seam of all fills: a running answer that can be read, counted and let go.

`answer.Counted` (one call on an upstream) is a source; every fill is one that reads from others.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from baton.semantics.events import Call, Delta, Usage


class Source(Protocol):
    """One reader; `close` at any time, any number of times."""

    @property
    def usage(self) -> Usage:
        """Of what was asked, so far; final once `read` has returned nothing."""
        ...

    @property
    def generated(self) -> int:
        """Tokens so far, cheap and at most an estimate."""
        ...

    async def read(self) -> Sequence[Delta]:
        """The next deltas, at least one; none once the answer is whole.

        Raises UpstreamError when it breaks, RequestError where a later call is refused."""
        ...

    def close(self) -> None: ...


Open = Callable[[Call], Awaitable[Source]]
"""Sends a call; returns once it is accepted. Raises as Upstream.open does."""


async def gather(source: Source) -> list[Delta]:
    """The rest of an answer."""
    found: list[Delta] = []
    while deltas := await source.read():
        found += deltas
    return found

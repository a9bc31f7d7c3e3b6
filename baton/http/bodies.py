"""Long bodies on their way to one worker: what they take together has a limit.

A body is kept until it is whole, and nobody is asked for a key before: whoever reaches the port may
send the most that a body may have on each of thousands of connections, and leave it unfinished.
Where all together take too much the one that began first is refused: who sends on is soon through,
so that it is what nobody finishes. Short bodies do not count: they are what most requests have, and
what connections are limited for.
"""

from typing import Protocol

from baton.errors import RequestError, overloaded

COUNTED_BYTES = 64 * 1024
"""From here on a body counts."""
TOGETHER_BYTES = 256 * 1024 * 1024
"""Of all long bodies of a worker; more where a single one may be so long that few would fit."""
FEWEST = 4
"""So many of the longest fit."""


class Receiving(Protocol):
    """A connection that receives a body."""

    def refuse(self, error: RequestError) -> None:
        """It must call `forget`, and let go what has come."""


class Bodies:
    """What long bodies take, by the connection that they come on."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max, self.bytes = bytes_max, 0
        """How much may be here, and is."""
        self._sizes: dict[Receiving, int] = {}  # in the order in which they became long

    def came(self, connection: Receiving, size: int) -> None:
        """So much of its body is here by now. May refuse others, or this one."""
        if size < COUNTED_BYTES:
            return
        self.bytes += size - self._sizes.get(connection, 0)
        self._sizes[connection] = size
        while self.bytes > self.bytes_max:
            oldest = next(iter(self._sizes))
            oldest.refuse(overloaded("Too many long requests are being received.", 1.0))
            self.forget(oldest)

    def forget(self, connection: Receiving) -> None:
        """Its body is whole, or not wanted any more."""
        self.bytes -= self._sizes.pop(connection, 0)


def bodies(body_bytes_max: int) -> Bodies:
    """For a worker that takes single bodies up to that length."""
    return Bodies(max(TOGETHER_BYTES, FEWEST * body_bytes_max))

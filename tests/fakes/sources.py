"""A source of fills that gives what a test wants, and tells what was done with it."""

from collections.abc import Awaitable, Callable, Sequence

from baton.semantics.events import Delta, Usage

Batch = Sequence[Delta] | Exception


async def at_once() -> None:
    """No gate."""


class Given:
    """Gives its batches, each when the gate lets it; an exception in a batch's place is raised."""

    def __init__(
        self,
        *batches: Batch,
        gate: Callable[[], Awaitable[None]] = at_once,
        prompt_tokens: int = 10,
    ) -> None:
        self.batches, self._gate, self._prompt_tokens = list(batches), gate, prompt_tokens
        self.reads, self.generated, self.closed = 0, 0, False

    @property
    def usage(self) -> Usage:
        return Usage(self._prompt_tokens, self.generated)

    async def read(self) -> Sequence[Delta]:
        self.reads += 1
        await self._gate()
        if not self.batches:
            return ()
        batch = self.batches.pop(0)
        if isinstance(batch, Exception):
            raise batch
        self.generated += len(batch)
        return batch

    def close(self) -> None:
        self.closed = True

"""The embedded model as the routes see it: what it is, its tokens, and how its engine fares.

An engine whose model is loaded for the first time is not there yet; one that died was. They are
told apart by its socket: a start removes what a former one left, and the engine makes it when its
model is loaded. An engine that dies leaves it behind; of one that dies before, as of any, the
supervisor leaves a mark beside it.
"""

import asyncio
import pathlib
import time
from collections.abc import Sequence
from typing import Literal

from baton.engine.wire import Description, Tokens
from baton.upstreams.base import UpstreamError
from baton.upstreams.embedded import EmbeddedUpstream

ANSWER_TIMEOUT_S = 2.0
"""An engine that says nothing for so long is not ready, whatever it does."""

State = Literal["ok", "loading", "down"]


class EmbeddedModel:
    """Implements web.services.Embedded."""

    def __init__(
        self, model: str, upstream: EmbeddedUpstream, marks: Sequence[pathlib.Path], wait_s: float
    ) -> None:
        """`marks`: where one of them is, an engine was there, or died before. `wait_s`: how long
        from now on a model that loads is waited for."""
        self.model, self._upstream, self._marks = model, upstream, marks
        self._waits_until_s = time.monotonic() + wait_s
        self.created_s = int(time.time())
        self.description: Description | None = None

    async def describe(self) -> Description:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                self.description = await self._upstream.describe()
        except TimeoutError:
            raise _silent() from None
        return self.description

    async def state(self) -> State:
        """Whether it answers; where it does not yet, whether that is worth waiting for."""
        try:
            await self.describe()
        except UpstreamError:
            return "loading" if self._awaited() else "down"
        return "ok"

    def _awaited(self) -> bool:
        seen = self.description is not None or any(mark.exists() for mark in self._marks)
        return not seen and time.monotonic() < self._waits_until_s

    async def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> Tokens:
        return await self._upstream.tokenize(text, add_special, parse_special)

    async def detokenize(self, ids: list[int]) -> str:
        return await self._upstream.detokenize(ids)


def _silent() -> UpstreamError:
    message = "The embedded model does not answer."
    return UpstreamError(message, phase="connect", kind="timeout", retryable=True)

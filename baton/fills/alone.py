"""`max_tokens: 0` where nothing has to be scored: the answer needs no upstream."""

from collections.abc import Sequence

from baton.semantics.events import Call, Delta, Usage
from baton.semantics.logprobs import empty
from baton.semantics.usage import guess


class Alone:
    """Implements Source: every choice ends before its first token. An echo comes on top."""

    generated = 0

    def __init__(self, call: Call) -> None:
        self._prompts = call.prompts
        scored = call.logprobs is not None
        self._deltas = [
            Delta(index, "", "length", empty() if scored else None)
            for index in range(len(call.prompts) * call.n)
        ]

    async def read(self) -> Sequence[Delta]:
        found, self._deltas = self._deltas, []
        return found

    def close(self) -> None:
        """There is nothing to let go."""

    @property
    def usage(self) -> Usage:
        """Nobody has counted the prompts but where they are ids."""
        text = any(isinstance(prompt, str) for prompt in self._prompts)
        return Usage(sum(map(guess, self._prompts)), 0, estimated=text)

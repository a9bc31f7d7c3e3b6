"""The prompt before the first text of each choice, where the upstream does not echo.

Offsets of logprobs count from the start of the prompt in any case, and stop strings were matched
before: so the echo changes nothing that follows it, and no stop looks into it.
"""

from collections.abc import Iterable, Sequence

from baton.semantics.events import Delta, Prompt


class Echo:
    """Feed it deltas of a request's choices; each choice's prompt comes before its first one.

    Prompts must be text: ids are the business of who has the vocabulary.
    """

    __slots__ = ("_missing", "_n", "_prompts")

    def __init__(self, prompts: Sequence[Prompt], n: int) -> None:
        self._prompts = prompts
        self._n = n
        self._missing = set(range(len(prompts) * n))

    def feed(self, deltas: Iterable[Delta]) -> list[Delta]:
        found: list[Delta] = []
        for delta in deltas:
            if delta.index in self._missing:
                self._missing.remove(delta.index)
                prompt = self._prompts[delta.index // self._n]
                assert isinstance(prompt, str)
                if prompt:
                    found.append(Delta(delta.index, prompt))
            found.append(delta)
        return found

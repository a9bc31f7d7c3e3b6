"""A suffix by the template of the model's family: the upstream sees one prompt with both texts."""

from collections.abc import Sequence

import msgspec

from baton.fills.source import Source
from baton.semantics.events import Call, Delta, Usage
from baton.semantics.fim import Template
from baton.semantics.logprobs import shift


def infilled(call: Call, template: Template) -> Call:
    """The call as the upstream gets it. Its prompts are text, without the template's marks."""
    assert call.suffix is not None
    prompts = []
    for prompt in call.prompts:
        assert isinstance(prompt, str), "ids were made text before"
        prompts.append(template.prompt(prompt, call.suffix))
    return msgspec.structs.replace(call, prompts=prompts, suffix=None)


class Infilled:
    """Implements Source over the call that was sent; offsets count from the caller's own prompt."""

    def __init__(self, source: Source, call: Call, sent: Call) -> None:
        self._source, self._n = source, call.n
        self._distances = [
            len(own) - len(other) for own, other in zip(call.prompts, sent.prompts, strict=True)
        ]

    async def read(self) -> Sequence[Delta]:
        return [self._moved(delta) for delta in await self._source.read()]

    def close(self) -> None:
        self._source.close()

    @property
    def usage(self) -> Usage:
        return self._source.usage

    @property
    def generated(self) -> int:
        return self._source.generated

    def _moved(self, delta: Delta) -> Delta:
        if delta.logprobs is None:
            return delta
        distance = self._distances[delta.index // self._n]
        return msgspec.structs.replace(delta, logprobs=shift(delta.logprobs, distance))

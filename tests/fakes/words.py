"""An upstream in the test's own process whose text depends on every token so far, and that dies.

    words = Words(cuts=[3])       # its first call breaks after three reads, later ones do not

It speaks events, one token a delta, as `word_model` generates them. Seeds mean nothing to it: the
same tokens go on in the same way, so that samples of one prompt are alike.
"""

from collections.abc import Iterator, Sequence

from baton.semantics.events import Call, Delta, Event, FinishReason, Logprobs, Usage, UsageReported
from baton.upstreams.base import Capabilities, Unwatched, UpstreamStream, Watch
from baton.upstreams.failures import failure
from tests.fakes import word_model

ALL = Capabilities(
    prompt_arrays=True,
    token_prompts=True,
    n=True,
    echo=True,
    prompt_logprobs=True,
    logprobs=True,
    suffix=True,
    seed=True,
    penalties=True,
    max_tokens_zero=True,
    exact_usage=True,
    token_ids=True,
)


class Words:
    """`cuts` are the numbers of reads after which its next streams break; then none does."""

    fingerprint: str | None = None

    def __init__(
        self, name: str = "words", cuts: Sequence[int] = (), native: Capabilities = ALL
    ) -> None:
        self.name, self.cuts, self.capabilities = name, list(cuts), native
        self.watch: Watch = Unwatched()
        self.in_flight = self.waiting = 0
        self.calls: list[Call] = []
        self.closed = 0

    async def open(self, call: Call) -> UpstreamStream:
        self.calls.append(call)
        cut = self.cuts.pop(0) if self.cuts else -1
        return WordStream(self, list(self._events(call)), cut)

    async def close(self) -> None:
        """Nothing to close."""

    def _events(self, call: Call) -> Iterator[list[Event]]:
        """One token of each choice in turn, as it comes from a server with several at work."""
        tokens = 0
        lists = []
        for index in range(len(call.prompts) * call.n):
            generated = _generated(call, index)
            tokens += generated.counted
            lists.append(list(_deltas(call, index, generated, self.capabilities.token_ids)))
        for row in range(max(map(len, lists))):
            yield [deltas[row] for deltas in lists if row < len(deltas)]
        prompts = sum(len(_ids(prompt)) for prompt in call.prompts)
        yield [UsageReported(Usage(prompts, tokens))]


class WordStream:
    """Batches as they are, until the cut."""

    prompt_tokens: int | None = None

    def __init__(self, words: Words, batches: list[list[Event]], cut: int) -> None:
        self._words, self._batches, self._cut, self._closed = words, batches, cut, False

    async def read(self) -> Sequence[Event]:
        if self._cut == 0:
            raise failure("stream", "network", "cut by the test")
        self._cut -= 1
        return self._batches.pop(0) if self._batches else ()

    def close(self) -> None:
        self._words.closed += not self._closed
        self._closed = True


def _ids(prompt: str | list[int]) -> list[int]:
    return word_model.encode(prompt) if isinstance(prompt, str) else prompt


def _generated(call: Call, index: int) -> word_model.Generated:
    stops, wanted = tuple(call.stop or ()), call.logprobs or 0
    sampling = word_model.Sampling(call.max_tokens, call.temperature, 0, stops, wanted)
    return word_model.generate(word_model.decode(_ids(call.prompts[index // call.n])), sampling)


def _deltas(call: Call, index: int, generated: word_model.Generated, told: bool) -> Iterator[Delta]:
    prompt = call.prompts[index // call.n]
    text = word_model.decode(_ids(prompt))
    at = len(text)
    if call.echo:
        echoed = word_model.scored_prompt(_ids(prompt), call.logprobs or 0)
        yield Delta(index, text, logprobs=_logprobs(call, echoed, 0))
    for position, piece in zip(generated.positions, generated.pieces, strict=True):
        ids = [position.token] if told else None
        yield Delta(index, piece, logprobs=_logprobs(call, [position], at), token_ids=ids)
        at += len(piece)
    reason: FinishReason = "stop" if generated.finish_reason == "stop" else "length"
    unseen = generated.counted - len(generated.positions)
    yield Delta(index, "", reason, token_ids=[word_model.EOS] * unseen if told else None)


def _logprobs(call: Call, positions: list[word_model.Position], at: int) -> Logprobs | None:
    if call.logprobs is None:
        return None
    found = Logprobs([], [], [], [])
    for position in positions:
        piece = word_model.piece(position.token)
        found.tokens.append(piece)
        found.token_logprobs.append(position.logprob)
        found.top_logprobs.append(position.top or None)
        found.text_offset.append(at)
        at += len(piece)
    return found

"""What lm-eval should find, computed from the engine's logits without any server.

One sequence, one context, the prompt in chunks of one kernel's size, and a log-softmax in double
precision: the plainest way from a GGUF file to the numbers.
"""

import dataclasses
import pathlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from baton.engine.batching import ALONE_CHUNK_TOKENS
from baton.engine.llama import Context, Model, load_library

CONTEXT_TOKENS = 2048
THREADS = 1
LogProbs = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Score:
    """The log-likelihood of some tokens after others, and whether greedy would choose them."""

    total: float
    greedy: bool
    tokens: int


class Direct:
    """A model and one empty sequence."""

    def __init__(self, model: Model, context: Context) -> None:
        self.model, self._context = model, context

    def tokenize(self, text: str) -> list[int]:
        """As lm-eval's remote tokenizer asks: without added special tokens."""
        return self.model.tokenize(text, add_special=False)

    def logprobs(self, ids: list[int], after: int = 0) -> LogProbs:
        """Row i: log-probabilities of the token after the i-th of `ids`.

        `after` tokens of the sequence are kept; 0 begins a new one."""
        context = self._context
        context.cut(0, after)
        rows = []
        for start in range(0, len(ids), ALONE_CHUNK_TOKENS):
            chunk = ids[start : start + ALONE_CHUNK_TOKENS]
            length = len(chunk)
            context.tokens[:length] = chunk
            context.positions[:length] = range(after + start, after + start + length)
            context.sequences[:length] = 0
            context.outputs[:length] = 1
            context.decode(length)
            rows.append(log_softmax(context.logits(length).astype(np.float64)))
        return np.concatenate(rows)

    @property
    def prefix(self) -> list[int]:
        """What lm-eval puts before a text that has no context."""
        return [self.model.bos if self.model.bos >= 0 else self.model.eos]

    def score(self, prefix: list[int], wanted: list[int]) -> Score:
        """How likely `wanted` is after `prefix`."""
        rows = self.logprobs(prefix + wanted)[len(prefix) - 1 : -1]
        chosen = rows[np.arange(len(wanted)), wanted]
        greedy = bool((chosen == rows.max(axis=1)).all())
        return Score(float(chosen.sum()), greedy, len(wanted))

    def generate(self, text: str, stops: list[str], tokens_max: int) -> str:
        """Greedy text after `text`, cut before the first stop."""
        ids, made = self.tokenize(text), b""
        length, last = len(ids), self.logprobs(ids)[-1]
        for place in range(tokens_max):
            token = int(last.argmax())
            if token in self.model.ends:
                break
            made += self.model.piece(token, False)
            last = self.logprobs([token], after=length + place)[-1]
            said = made.decode("utf-8", "ignore")
            if cuts := [said.index(stop) for stop in stops if stop in said]:
                return said[: min(cuts)]
        return made.decode("utf-8", "replace")


def log_softmax(rows: LogProbs) -> LogProbs:
    shifted = rows - rows.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


@contextmanager
def direct(path: pathlib.Path) -> Iterator[Direct]:
    """The model file opened in this process."""
    model = Model(load_library(), str(path))
    context = Context(model, 1, CONTEXT_TOKENS, THREADS)
    try:
        yield Direct(model, context)
    finally:
        context.close()
        model.close()

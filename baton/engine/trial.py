"""What the engine finds out at its start: whether sequences in one step come out as each alone.

It depends on the kernels for this model, build and machine, so it is tried, to the last bit. What
agrees lets deterministic calls share steps (batching.py). Only sizes that were tried are used:
kernels are chosen by the number of rows. With several threads the way in which rows are divided
between them changes with their number, and long sequences show what short ones do not
(docs/decisions/0031): there, and on a graphics card, streams keep a step each.
"""

import time
from collections.abc import Iterable

import numpy as np

from baton.engine.llama import Context, Floats, Model

COMPARED_TOKENS = (3, 8, 5)
"""Of prompts that are computed together and alone: unequal, as llama.cpp splits them then."""
HELD_TOKENS, CONTENTS = 2, 4
"""What streams hold whose next tokens are compared: one of four contents, so that few have to be
computed alone, all of one length, so that llama.cpp takes them in one go."""
SHARED_MAX = 16
TRIAL_S_MAX = 1.0
"""A large model is not held up for longer: it shares what was tried until then."""


class Trial:
    """Runs on a context that nobody uses yet, and leaves it empty."""

    def __init__(self, model: Model, context: Context) -> None:
        self._model, self._context = model, context

    def prompts_agree(self) -> bool:
        """Whether short prompts in one step have the rows of each of them alone."""
        ids = range(min(len(COMPARED_TOKENS), self._context.sequences_max))
        together = self._prompts(ids)
        return np.array_equal(together, np.concatenate([self._prompts([id]) for id in ids]))

    def sizes(self) -> tuple[int, ...]:
        """How many streams may share a step, each with its next token: largest first."""
        context = self._context
        if context.threads > 1 or self._model.gpu_layers:
            return ()
        ids = range(min(SHARED_MAX, context.sequences_max))
        self._compute([(id, 0, HELD_TOKENS) for id in ids], rows=False)
        agreed: list[int] = []
        size, until_s = 2, time.perf_counter() + TRIAL_S_MAX
        alone = [self._next([id]) for id in ids[:CONTENTS]]
        while size <= len(ids) and time.perf_counter() < until_s:
            expected = [alone[id % len(alone)] for id in ids[:size]]
            if not np.array_equal(self._next(ids[:size]), np.concatenate(expected)):
                break
            agreed.insert(0, size)
            size *= 2
        for id in ids:
            context.cut(id, 0)
        return tuple(agreed)

    def _prompts(self, ids: Iterable[int]) -> Floats:
        """Rows of a few tokens on each of these sequences, which are empty again afterwards."""
        rows = self._compute([(id, 0, COMPARED_TOKENS[id]) for id in ids])
        for id in ids:
            self._context.cut(id, 0)
        return rows

    def _next(self, ids: Iterable[int]) -> Floats:
        """Rows of one more token on each, which is forgotten again."""
        rows = self._compute([(id, HELD_TOKENS, 1) for id in ids])
        for id in ids:
            self._context.cut(id, HELD_TOKENS)
        return rows

    def _compute(self, parts: list[tuple[int, int, int]], *, rows: bool = True) -> Floats:
        """One decode of (sequence, position, tokens) each; a row of each token, or none."""
        context, end = self._context, 0
        for id, position, count in parts:
            at, end = end, end + count
            places = np.arange(position, position + count)
            content = places * 31 + id % CONTENTS
            context.tokens[at:end] = content % self._model.vocabulary_size
            context.positions[at:end] = places
            context.sequences[at:end], context.outputs[at:end] = id, int(rows)
        context.decode(end)
        return context.logits(end if rows else 0).copy()

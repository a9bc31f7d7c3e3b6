"""What the engine finds out at its start: whether sequences in one step come out as each alone,
and several tokens of one as one by one.

It depends on the kernels for this model, build and machine, so it is tried, to the last bit. What
agrees lets deterministic calls share steps (batching.py). Only sizes that were tried are used:
kernels are chosen by the number of rows. With several threads the way in which rows are divided
between them changes with their number, and long sequences show what short ones do not
(docs/decisions/0031): there, and on a graphics card, streams keep a step each, and a token each.
"""

import math
import time
from collections.abc import Callable, Iterable

import numpy as np

from baton.engine.drafting import SIZES
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

    def drafts(
        self, sequence: int = 0, given_up: Callable[[], bool] = lambda: False
    ) -> dict[int, float] | None:
        """Seconds of processor time of a step by how many tokens of one stream it has, for those
        numbers with which every row is as computed one by one; empty where none is, None where it
        was given up. `sequence` is empty, before and after.

        Each is taken twice and the lesser time counts: the first time memory is laid out."""
        context = self._context
        if context.threads > 1 or self._model.gpu_layers:
            return {}
        until_s = time.perf_counter() + TRIAL_S_MAX
        self._compute([(sequence, 0, HELD_TOKENS)], rows=False)
        agreed, rows, one_s = dict[int, float](), list[Floats](), math.inf
        for size in SIZES:
            if HELD_TOKENS + size > context.sequence_tokens_max or time.perf_counter() > until_s:
                break
            for at in range(len(rows), size):
                row, seconds = self._ahead(sequence, at, 1)
                rows, one_s = [*rows, row], min(one_s, seconds)
                if given_up():
                    context.cut(sequence, 0)
                    return None
            tried = [self._ahead(sequence, 0, size) for _ in range(2)]
            if not all(np.array_equal(found, np.concatenate(rows)) for found, _ in tried):
                break
            agreed[size] = min(seconds for _, seconds in tried)
        context.cut(sequence, 0)
        return {1: one_s, **agreed} if agreed else {}

    def _ahead(self, sequence: int, at: int, count: int) -> tuple[Floats, float]:
        """Rows of a sequence's next tokens, from `at` behind what it held at first; and what they
        cost."""
        self._context.cut(sequence, HELD_TOKENS + at)
        began_s = time.thread_time()
        rows = self._compute([(sequence, HELD_TOKENS + at, count)])
        return rows, time.thread_time() - began_s

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

"""Whether a token comes out with the same bits, whoever shares its step; and what a step costs.

    python -m bench.invariance MODEL.gguf THREADS

Sequences of unequal lengths take one token each: alone, then side by side, then beside a chunk of
somebody's prompt. A row that differs from the one alone is counted. What is found holds for this
file, build, processor and number of threads: kernels are chosen by all of them.
"""

import os
import sys
import time

import numpy as np

from baton.engine.cores import openmp_environment
from baton.engine.llama import Context, Floats, Model, load_library

LENGTHS = (3, 5, 17, 31, 32, 40, 63, 64, 65, 90, 127, 128, 150, 200, 255, 300)
"""Tokens that the sequences hold before."""
CHUNK = 32
SIDE_BY_SIDE = (2, 3, 4, 5, 6, 8, 12, 16)
PROMPT_CHUNKS = (1, 32, 64)
REPEATS = 3
BESIDE = 4


class Table:
    """A context whose sequences hold something."""

    def __init__(self, model: Model, threads: int) -> None:
        self._model = model
        self.context = Context(model, len(LENGTHS) + 1, 512, threads)
        dice = np.random.default_rng(1)
        self._words = dice.integers(300, model.vocabulary_size - 1, (len(LENGTHS) + 1, 512))
        for sequence, length in enumerate(LENGTHS):
            for start in range(0, length, CHUNK):
                self.step([(sequence, start, min(CHUNK, length - start))])

    def step(self, parts: list[tuple[int, int, int]]) -> Floats:
        """One decode of (sequence, position, count) each; the rows of their last tokens."""
        context, at = self.context, 0
        for sequence, position, count in parts:
            end = at + count
            context.tokens[at:end] = self._words[sequence, position : position + count]
            context.positions[at:end] = np.arange(position, position + count)
            context.sequences[at:end], context.outputs[at:end] = sequence, 0
            context.outputs[end - 1] = 1
            at = end
        context.decode(at)
        return context.logits(len(parts)).copy()

    def back(self) -> None:
        for sequence, length in enumerate(LENGTHS):
            self.context.cut(sequence, length)
        self.context.cut(len(LENGTHS), 0)

    def tokens(self, sequences: range, chunk: int = 0) -> tuple[Floats, float]:
        """Rows of one token of each, perhaps beside a prompt's chunk; the least milliseconds."""
        best = float("inf")
        for _ in range(REPEATS):
            parts = [(sequence, LENGTHS[sequence], 1) for sequence in sequences]
            began = time.perf_counter()
            rows = self.step(parts + ([(len(LENGTHS), 0, chunk)] if chunk else []))
            best = min(best, time.perf_counter() - began)
            self.back()
        return rows[: len(sequences)], best * 1e3


def different(rows: Floats, alone: Floats) -> int:
    return int((rows != alone).any(axis=1).sum())


def main(path: str, threads: int) -> None:
    table = Table(Model(load_library(), path, 0), threads)
    found = [table.tokens(range(each, each + 1)) for each in range(len(LENGTHS))]
    alone = np.concatenate([rows for rows, _ in found])
    print(f"{path.rpartition('/')[2]}, {threads} threads: alone {found[0][1]:.1f} ms")
    for count in SIDE_BY_SIDE:
        rows, cost = table.tokens(range(count))
        print(f"{count} side by side: {different(rows, alone[:count])} differ, {cost:.1f} ms")
    for chunk in PROMPT_CHUNKS:
        rows, cost = table.tokens(range(BESIDE), chunk)
        others = different(rows, alone[:BESIDE])
        print(f"{BESIDE} and a chunk of {chunk}: {others} differ, {cost:.1f} ms")


if __name__ == "__main__":
    # Read when the library is loaded.
    os.environ.update(openmp_environment(int(sys.argv[2]), os.environ))
    main(sys.argv[1], int(sys.argv[2]))

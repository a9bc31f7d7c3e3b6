"""From a row of raw logits to the next token, and to the logprobs that are told of it. Pure
arithmetic.

Theory of operation. A row has one number per token of the vocabulary, 49,152 of them for the
default model, and is looked at once per generated token, so each pass over it counts (5–70 µs).
Therefore nothing sorts a row: greedy choice is one argmax; top_p and the alternatives first pick
the few candidates that matter and sort only these. The result is exact: more are picked until they
hold enough mass (or are enough).

Chance comes from a counter, not from a generator with a state: `uniform(seed, sample, position)` is
a hash of where it is used. A stream that is replayed or handed over needs its seed and its length,
nothing else.

Penalties count generated tokens only; bias and penalties change the choice, never the logprobs,
which are of the raw row."""

import hashlib
import math
import struct
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.intp]

BLOCK = 256
GREEDY_BELOW = 1e-5
"""A temperature below it is greedy: divided by it, any gap between two logits is infinite."""
_COUNTER = struct.Struct("<qqq")
NUCLEUS_FIRST = 64
"""How many of the likeliest tokens are looked at first for top_p; then eight times as many, and so
on."""


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How one call chooses its tokens; the same for all its choices."""

    temperature: float = 1.0
    top_p: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    bias: dict[int, float] = {}
    """Added to logits; every id lies within the vocabulary."""
    seed: int = 0
    apart: bool = False
    """Whether prompts draw apart, too: they do where nobody asked for a seed. By a caller's seed a
    prompt has the answer that it would have alone."""

    @property
    def penalises(self) -> bool:
        return self.presence_penalty != 0.0 or self.frequency_penalty != 0.0


def uniform(seed: int, sample: int, position: int) -> float:
    """A number in [0, 1) that depends on its arguments alone, as if drawn at random."""
    digest = hashlib.blake2b(_COUNTER.pack(seed, sample, position), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) * 2.0**-53


def choose(row: Floats, how: Sampling, counts: dict[int, int], chance: float) -> int:
    """The next token. `counts` tells how often each token was generated, `chance` lies in [0,
    1)."""
    row = adjusted(row, how, counts)
    if how.temperature < GREEDY_BELOW:
        return int(row.argmax())
    weights = row - row.max()
    weights /= np.float32(how.temperature)
    np.exp(weights, out=weights)
    if how.top_p < 1.0:
        return _draw_nucleus(weights, how.top_p, chance)
    return _draw(weights, chance)


def adjusted(row: Floats, how: Sampling, counts: dict[int, int]) -> Floats:
    """The row with bias and penalties; the row itself where there are none."""
    penalised = counts if how.penalises else {}
    if not how.bias and not penalised:
        return row
    row = row.copy()
    for token, count in penalised.items():
        row[token] -= how.presence_penalty + how.frequency_penalty * count
    for token, bias in how.bias.items():
        row[token] += bias
    return row


def _draw(weights: Floats, chance: float) -> int:
    """Inverse of the cumulated weights."""
    ends = _block_ends(weights)
    return _crossing(weights, ends, chance * float(ends[-1]), "right")


def _block_ends(weights: Floats) -> npt.NDArray[np.float64]:
    """The cumulated weights at the end of each block: cumulating them one by one takes ten times as
    long."""
    whole = weights.size // BLOCK * BLOCK
    sums = weights[:whole].reshape(-1, BLOCK).sum(axis=1, dtype=np.float64)
    if whole < weights.size:
        sums = np.append(sums, weights[whole:].sum(dtype=np.float64))
    ends: npt.NDArray[np.float64] = sums.cumsum()
    return ends


def _crossing(
    weights: Floats,
    ends: npt.NDArray[np.float64],
    mass: float,
    side: Literal["left", "right"],
) -> int:
    """Where the cumulated weights reach (left) or exceed (right) `mass`. `ends`: of their
    blocks."""
    block = min(int(ends.searchsorted(mass, side=side)), ends.size - 1)
    before = float(ends[block - 1]) if block else 0.0
    inside = weights[block * BLOCK : (block + 1) * BLOCK]
    place = int(inside.cumsum(dtype=np.float64).searchsorted(mass - before, side=side))
    if place == inside.size:  # the last bits of two ways to sum differ
        place = int(np.flatnonzero(inside if inside.any() else inside == 0)[-1])
    return int(block * BLOCK + place)


def _draw_nucleus(weights: Floats, top_p: float, chance: float) -> int:
    ids = nucleus(weights, top_p)
    return int(ids[_draw(weights[ids], chance)])


def nucleus(weights: Floats, top_p: float) -> Ids:
    """The smallest set of likeliest tokens with at least `top_p` of the mass; at least one token.

    Of equally likely ones the lower id comes first; the set itself is in order of ids but for
    those."""
    mass = top_p * float(weights.sum(dtype=np.float64))
    highest = _highest(weights, mass)
    size = _crossing(highest, _block_ends(highest), mass, "left") + 1
    least = highest[size - 1]
    above = np.flatnonzero(weights > least)
    equal = np.flatnonzero(weights == least)[: size - above.size]
    return np.concatenate((above, equal))


def _highest(weights: Floats, mass: float) -> Floats:
    """Enough of the greatest weights to hold `mass`, greatest first."""
    count = NUCLEUS_FIRST
    while count < weights.size:
        highest = np.partition(weights, weights.size - count)[-count:]
        if float(highest.sum(dtype=np.float64)) > mass:
            return np.sort(highest)[::-1]
        count *= 8
    return np.sort(weights)[::-1]


def log_normaliser(row: Floats) -> float:
    """What to subtract from a raw logit to get its logprob."""
    highest = row.max()
    return float(highest) + math.log(float(np.exp(row - highest).sum(dtype=np.float64)))


def likeliest(row: Floats, count: int) -> list[int]:
    """The `count` tokens of greatest logits, greatest first (lower id first among equals)."""
    if count <= 0:
        return []
    if count == 1:
        return [int(row.argmax())]
    if count * BLOCK >= row.size:
        ids = np.arange(row.size)
    else:
        whole = row.size // BLOCK * BLOCK
        highest = row[:whole].reshape(-1, BLOCK).max(axis=1)
        if highest.size < count:
            ids = np.arange(row.size)
        else:  # each of the `count` highest blocks has one token at or above this
            threshold = np.partition(highest, highest.size - count)[highest.size - count]
            ids = np.flatnonzero(row >= threshold)
    order = np.argsort(-row[ids], kind="stable")[:count]
    return [int(token) for token in ids[order]]

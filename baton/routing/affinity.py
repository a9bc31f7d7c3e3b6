"""Which upstream has the beginning of a prompt in its cache, without asking it. Pure.

Rendezvous hashing (Thaler and Ravishankar, 1998): the upstream with the highest hash of (beginning,
name) is a prompt's seat. Every worker finds the same one, and an upstream that comes or goes moves
only its own share.

How much of a prompt is its beginning? Prompts that share anything share their first characters, so
the shallowest depth brings all of them together. Where too many do (a system prompt that all
callers have), one seat cannot bear them, and each must go by more of its text, so that every
conversation stays together: depths at which more than one upstream's part of the recent prompts are
alike say nothing, and the next deeper one decides (`Popularity`).

A prompt shorter than the first depth has no seat: there is too little to find in a cache.
"""

import math
import zlib
from collections.abc import Sequence
from itertools import pairwise

from baton.semantics.events import Prompt

STEPS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
"""Depths, as multiples of the first one."""
TEXT_STEP = 256
"""Characters: about 64 tokens; caches work in blocks of 16 to 64."""
IDS_STEP = 64
POPULAR_SHARE = 1.25
"""Of an upstream's equal part of all prompts: beyond it a beginning is shared by too many."""
RECENT = 2048
"""Prompts that count; older ones count half, a quarter and so on."""
MASK = 2**64 - 1


def beginnings(prompt: Prompt) -> list[int]:
    """A number for each depth that the prompt reaches, shallow to deep."""
    step = TEXT_STEP if isinstance(prompt, str) else IDS_STEP
    found, number = [], 0
    for start, end in pairwise(STEPS):
        if len(prompt) < end * step:
            break
        number = zlib.crc32(_bytes(prompt, start * step, end * step), number)
        found.append(number)
    return found


def _bytes(prompt: Prompt, start: int, end: int) -> bytes:
    if isinstance(prompt, str):
        return prompt[start:end].encode("utf-8", "surrogatepass")
    return b"".join(number.to_bytes(8, "little", signed=True) for number in prompt[start:end])


class Popularity:
    """How many of the recent prompts begin alike."""

    def __init__(self, recent: int = RECENT) -> None:
        self._recent, self._total = recent, 0
        self._counts: dict[int, int] = {}

    def parting(self, found: list[int], upstreams: int) -> list[int]:
        """Count a prompt's beginnings; those that are not shared by too many for one of so many
        upstreams (where all are, the deepest)."""
        counts = self._counts
        for beginning in found:
            counts[beginning] = counts.get(beginning, 0) + 1
        self._total += 1
        if self._total >= self._recent:
            self._forget()
        # Too few prompts to tell: the first few of a kind are never many.
        most = POPULAR_SHARE / upstreams * max(self._total, self._recent // 16)
        return [each for each in found if counts.get(each, 0) <= most] or found[-1:]

    def _forget(self) -> None:
        self._total //= 2
        self._counts = {each: count // 2 for each, count in self._counts.items() if count > 1}


def seat(beginning: int, names: Sequence[str], weights: Sequence[float]) -> int:
    """The place of the name at which this beginning sits; each gets its weight's share
    (with weight 0 none)."""
    best, best_score = 0, -math.inf
    for place, name in enumerate(names):
        if not weights[place]:
            continue
        score = -weights[place] / math.log(drawn(beginning << 32 | zlib.crc32(name.encode())))
        if score > best_score:
            best, best_score = place, score
    return best


def drawn(number: int) -> float:
    """Between 0 and 1, neither included: always the same for the same number."""
    return ((mixed(number) >> 12) + 0.5) / 2**52


def mixed(number: int) -> int:
    """64 bits of a number, well mixed (the end of splitmix64)."""
    number = (number + 0x9E3779B97F4A7C15) & MASK
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & MASK
    number = (number ^ number >> 27) * 0x94D049BB133111EB & MASK
    return number ^ number >> 31

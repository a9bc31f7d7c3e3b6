"""Which upstream has the beginning of a prompt in its cache, without asking or remembering. Pure.

Rendezvous hashing (Thaler and Ravishankar, 1998): the upstream with the highest hash of (beginning,
name) is a prompt's home. Every worker finds the same one, and an upstream that comes or goes moves
only its own share. The beginning is taken at three depths: most prompts that share anything share
the first; where too many do (a system prompt that all callers have), those beyond what one upstream
should bear go home by a deeper beginning, so that each conversation stays together.

A prompt shorter than the first depth has no home: there is too little to find in a cache.
"""

import math
import zlib
from collections.abc import Sequence

from baton.semantics.events import Prompt

TEXT_DEPTHS = (256, 1024, 4096)
"""Characters: about 64, 256 and 1,024 tokens; caches work in blocks of 16 to 64 tokens."""
IDS_DEPTHS = (64, 256, 1024)
MASK = 2**64 - 1


def beginnings(prompt: Prompt) -> list[int]:
    """A number for each depth that the prompt reaches, shallow to deep."""
    found = []
    if isinstance(prompt, str):
        for depth in TEXT_DEPTHS:
            if len(prompt) < depth:
                break
            found.append(zlib.crc32(prompt[:depth].encode()))
        return found
    for depth in IDS_DEPTHS:
        if len(prompt) < depth:
            break
        ids = b"".join(number.to_bytes(8, "little", signed=True) for number in prompt[:depth])
        found.append(zlib.crc32(ids))
    return found


def home(beginning: int, names: Sequence[str], weights: Sequence[float]) -> int:
    """The place of the name at which this beginning is at home; each gets its weight's share
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

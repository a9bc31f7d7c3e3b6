"""A call as several smaller ones, and their answers as one: prompt fan-out and samples by calls.

Servers differ in how many prompts and how many samples of one they take in a call. `divide` cuts a
call into parts that fit; `renumbered` and `total` put the parts' deltas and counts together again.

What must hold: each choice of the call belongs to exactly one part; numbering is prompt-major in
the call and in each part; a prompt that went out several times counts once.
"""

import zlib
from collections.abc import Iterable, Iterator

import msgspec

from baton.semantics.choices import index_of, moved
from baton.semantics.events import Call, Delta, Usage
from baton.semantics.usage import NONE, add

SEEDS = 2**64
SEED_MIN = -(2**63)


class Part(msgspec.Struct, frozen=True):
    """One call and its place in the whole one."""

    call: Call
    first_prompt: int
    """The whole call's number of this part's first prompt; the others follow it."""
    first_sample: int


def divide(call: Call, prompts_max: int, samples_max: int) -> Iterator[Part]:
    """Parts of at most so many prompts and samples of each, prompt-major; made as they are needed.

    A seed is that of the whole call's first sample: a part that begins with sample k gets seed + k,
    as servers number the samples of one call themselves, so that no two samples are one.
    """
    assert prompts_max > 0 < samples_max
    for prompt in range(0, len(call.prompts), prompts_max):
        prompts = call.prompts[prompt : prompt + prompts_max]
        for sample in range(0, call.n, samples_max):
            n = min(samples_max, call.n - sample)
            seed = call.seed if call.seed is None else seed_of(call.seed, sample)
            part = msgspec.structs.replace(call, prompts=prompts, n=n, seed=seed)
            yield Part(part, prompt, sample)


def seed_of(seed: int, sample: int) -> int:
    """The seed of the sample, within what a seed can be."""
    return (seed + sample - SEED_MIN) % SEEDS + SEED_MIN


def seed_behind(seed: int, tokens: int) -> int:
    """The seed of the rest of a sample, behind so many tokens of it.

    A server begins the random numbers of each call anew: by the sample's own seed the rest would be
    drawn with the very numbers that its beginning was drawn with."""
    return zlib.crc32(b"%d %d" % (seed, tokens)) >> 1


def renumbered(deltas: Iterable[Delta], part: Part, n: int) -> list[Delta]:
    """A part's deltas as choices of the whole call, which has n samples of each prompt."""
    found = []
    for delta in deltas:
        prompt, sample = divmod(delta.index, part.call.n)
        index = index_of(part.first_prompt + prompt, part.first_sample + sample, n)
        found.append(moved(delta, index))
    return found


def total(used: Iterable[tuple[Part, Usage]]) -> Usage:
    """What the parts used, as one call: each prompt once, every choice."""
    found = NONE
    for part, usage in used:
        found = add(found, without_prompt(usage) if part.first_sample else usage)
    return found


def without_prompt(usage: Usage) -> Usage:
    """Of a part whose prompts another part counts already."""
    return Usage(
        0,
        usage.completion_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        audio_completion_tokens=usage.audio_completion_tokens,
        estimated=usage.estimated,
    )

"""Sampled answers over a seam: another sample than the undisturbed one, but a sample all the same.

The upstreams draw from a known distribution: each word's successors have fixed chances, and a call
with a seed begins its random numbers anew, as servers do. What follows the seam must be distributed
as what follows anywhere, and must not depend on how the answer began.
"""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Sequence

import msgspec
import pytest

from baton.routing.budget import Budget
from baton.semantics.events import Call, Delta, Event, Usage, UsageReported
from baton.upstreams.base import UpstreamStream
from tests.fakes.words import ALL, Words, WordStream
from tests.test_handing import plan, relay, whole

STREAMS = 2_000
TOKENS = 8
NAMES = "abcdefgh"
WORDS = tuple(f" {name}" for name in NAMES)
CHI_SQUARED_56 = 83.51
"""Beyond it lies one of a hundred samples, with 8 × 7 degrees of freedom, and"""
CHI_SQUARED_49 = 74.92
"""with 7 × 7."""
UNTOLD = msgspec.structs.replace(ALL, token_ids=False)


def chances(dice: random.Random) -> list[float]:
    weights = [dice.uniform(1, 5) for _ in WORDS]
    return [weight / sum(weights) for weight in weights]


CHAIN = {word: chances(random.Random(number)) for number, word in enumerate(WORDS)}
ALIKE = dict.fromkeys(WORDS, chances(random.Random(99)))
"""What came before says nothing."""
Chain = dict[str, list[float]]


class Sampler(Words):
    """Says words by their chances; without a seed by numbers of its own."""

    def __init__(self, name: str, chain: Chain, dice: random.Random) -> None:
        super().__init__(name, native=UNTOLD)
        self._chain, self._dice = chain, dice

    async def open(self, call: Call) -> UpstreamStream:
        self.calls.append(call)
        numbers = self._dice if call.seed is None else random.Random(call.seed)
        [prompt] = call.prompts
        said, batches = str(prompt)[-2:], list[list[Event]]()
        for number in range(call.max_tokens):
            [said] = numbers.choices(WORDS, self._chain[said])
            last = number == call.max_tokens - 1
            batches.append([Delta(0, said, "length" if last else None)])
        batches.append([UsageReported(Usage(1, call.max_tokens))])
        return WordStream(self, batches, self.cuts.pop(0) if self.cuts else -1)


async def answers(chain: Chain, *, seeded: bool, cut: bool) -> list[tuple[int, Sequence[str]]]:
    """Where each answer was cut, and its words, behind the prompt's last one."""
    dice, found = random.Random(1), list[tuple[int, Sequence[str]]]()
    for number in range(STREAMS):
        place = dice.randrange(1, TOKENS - 1)
        one = Sampler("a", chain, dice)
        one.cuts = [place] if cut else []
        asked = plan(
            "a",
            "b",
            prompts=[f"x{WORDS[number % len(WORDS)]}"],
            max_tokens=TOKENS,
            seed=number if seeded else None,
        )
        made = relay(one, Sampler("b", chain, dice), retries=Budget(tokens_min=9.0))
        answer, deltas = await whole(made, asked)
        assert answer.handoffs == cut
        text = WORDS[number % len(WORDS)] + "".join(delta.text for delta in deltas)
        found.append((place, [text[at : at + 2] for at in range(0, len(text), 2)]))
        assert TOKENS + 1 == len(found[-1][1])
    return found


def strayed(seen: Counter[tuple[str, str]], chain: Chain) -> float:
    """Pearson's chi-squared of pairs of words against the chances."""
    total = 0.0
    for before in WORDS:
        count = sum(seen[before, after] for after in WORDS)
        for after, chance in zip(WORDS, chain[before], strict=True):
            expected = count * chance
            total += (seen[before, after] - expected) ** 2 / expected
    return total


def dependence(seen: Counter[tuple[str, str]]) -> float:
    """Pearson's chi-squared of pairs against their words being independent."""
    firsts, seconds = Counter[str](), Counter[str]()
    for (first, second), count in seen.items():
        firsts[first] += count
        seconds[second] += count
    total = 0.0
    for first, second in itertools.product(WORDS, WORDS):
        expected = firsts[first] * seconds[second] / seen.total()
        total += (seen[first, second] - expected) ** 2 / expected
    return total


@pytest.mark.parametrize("seeded", [False, True])
@pytest.mark.parametrize("cut", [False, True])
def test_what_follows_the_seam_is_distributed_as_anywhere(seeded: bool, cut: bool) -> None:
    """By the chances of its predecessor, which is the last word before the seam."""
    found = asyncio.run(answers(CHAIN, seeded=seeded, cut=cut))
    pairs = Counter((words[place], words[place + 1]) for place, words in found)
    assert strayed(pairs, CHAIN) < CHI_SQUARED_56


@pytest.mark.parametrize("seeded", [False, True])
def test_the_rest_does_not_repeat_the_beginning(seeded: bool) -> None:
    """The successor draws anew: with the same seed it would draw the beginning's numbers again."""
    found = asyncio.run(answers(ALIKE, seeded=seeded, cut=True))
    assert dependence(Counter((words[1], words[place + 1]) for place, words in found)) < (
        CHI_SQUARED_49
    )


def test_the_measures_can_tell() -> None:
    """A lost word, a doubled one and a repeated beginning are all far beyond chance."""
    found = asyncio.run(answers(CHAIN, seeded=False, cut=False))
    lost = Counter((words[place], words[place + 2]) for place, words in found)
    doubled = Counter((words[place], words[place]) for place, words in found)
    assert min(strayed(lost, CHAIN), strayed(doubled, CHAIN)) > 1.5 * CHI_SQUARED_56
    assert dependence(doubled) > 10 * CHI_SQUARED_49

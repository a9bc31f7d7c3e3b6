"""What the next round computes: which tokens of which sequences, in which decodes. Pure.

A round is a list of steps; a step is one llama_decode. Sequences of ordinary calls share the first
step: one token of each that decodes, and chunks of prompts as far as a budget goes, oldest first,
but for prompts so short that half of the budget suffices: they do not wait behind a long one. A
sequence of a deterministic call has every step to itself, and its prompt is split in the same way
each time, so that its results cannot depend on who else is there.

One chunk of a prompt has at most `chunk_max` tokens. On a CPU that is below 64, from where
llama.cpp attends by another (tiled) kernel with other last bits; below it, prefill, decoding alone,
decoding beside others and reused prefixes were bit-identical on the default model."""

from collections import deque
from collections.abc import Iterable
from collections.abc import Sequence as Items
from typing import NamedTuple

import msgspec

from baton.engine.choice import Choice
from baton.engine.runs import PromptGroup

ALONE_CHUNK_TOKENS = 32
"""Split of prompts in deterministic mode: a fixed one, small enough not to hold the others up for
long."""
CHUNK_TOKENS_MIN = 8
BUDGETS_MAX = 4
"""How many budgets prompts get in a round in which nobody waits for a next token, at most."""


class Sequence(msgspec.Struct, eq=False, kw_only=True):
    """A sequence id at work: first on a group's prompt, then on one choice."""

    id: int
    group: PromptGroup
    sample: int
    order: int
    """When its group was admitted: prompts are computed in this order."""
    prompt: list[int]
    alone: bool = False
    outputs: bool = False
    """Logits of every prompt token are wanted, not of the last alone."""
    position: int = 0
    """Tokens that its memory holds."""
    computed: list[int] = msgspec.field(default_factory=list)
    """Chunk sizes in which its prompt was computed so far."""
    splits: deque[int] = msgspec.field(default_factory=deque)
    """Chunk sizes that a replay prescribes."""
    choice: Choice | None = None
    """None while the prompt is computed."""
    token: int = 0
    """What a decoding sequence computes next."""
    replay: deque[int] = msgspec.field(default_factory=deque)
    """Ids that are fed instead of sampled."""

    @property
    def decoding(self) -> bool:
        return self.choice is not None

    @property
    def left(self) -> int:
        """Tokens of its prompt that are still to be computed."""
        return len(self.prompt) - self.position

    def rows(self, count: int) -> int:
        """How many rows of logits come out of its next `count` tokens."""
        if self.decoding:
            return 1
        if self.outputs:
            return count
        return int(self.position + count == len(self.prompt))

    def chunk(self, budget: int, chunk_max: int) -> int:
        """How much of its prompt the next step computes."""
        if self.splits:
            return self.splits[0]
        if self.alone:
            budget = ALONE_CHUNK_TOKENS
        return min(self.left, budget, chunk_max)


class Part(NamedTuple):
    """So many of a sequence's next tokens."""

    sequence: Sequence
    tokens: int


Step = list[Part]


class Limits(msgspec.Struct, frozen=True):
    batch_max: int
    """Tokens in one decode."""
    chunk_max: int
    """Tokens of one prompt in one decode."""


def plan(sequences: Iterable[Sequence], budget: int, limits: Limits) -> list[Step]:
    """The next round's steps. `budget`: prompt tokens that take as long as a decoding stream may
    wait."""
    able = sorted((s for s in sequences if not s.group.paused), key=lambda s: s.id)
    decoding = [sequence for sequence in able if sequence.decoding]
    computing = sorted((s for s in able if not s.decoding), key=lambda s: s.order)
    shared = [Part(sequence, 1) for sequence in decoding if not sequence.alone]
    steps = [[Part(sequence, 1)] for sequence in decoding if sequence.alone]
    room = _room(budget, len(computing), len(decoding))
    short = [s for s in computing if not s.alone and s.left <= room // 2]
    first = _chunks(short, room // 2, limits.batch_max - len(shared), limits.chunk_max)
    shared += first
    room -= sum(part.tokens for part in first)
    long = [sequence for sequence in computing if sequence not in short]
    if long and long[0].alone:
        steps.append([Part(long[0], long[0].chunk(room, limits.chunk_max))])
    else:
        used = sum(part.tokens for part in shared)
        shared += _chunks(long, room, limits.batch_max - used, limits.chunk_max)
    shared.sort(key=lambda part: part.sequence.id)
    return [shared, *steps] if shared else steps


def _room(budget: int, computing: int, decoding: int) -> int:
    """Prompt tokens of a round.

    While more callers wait for their first token than for their next one, it grows with that
    ratio: in a burst of 8 calls on one core the whole is done a tenth sooner (measured)."""
    share = computing / decoding if decoding else BUDGETS_MAX
    return int(budget * min(max(1.0, share), BUDGETS_MAX))


def _chunks(computing: Items[Sequence], budget: int, room: int, chunk_max: int) -> list[Part]:
    """Chunks of shared prompts, the oldest first, until the budget or the batch is used up."""
    parts = []
    for sequence in computing:
        if sequence.alone or budget <= 0:
            break
        count = sequence.chunk(budget, chunk_max)
        if count > room:
            break
        parts.append(Part(sequence, count))
        budget, room = budget - count, room - count
    return parts

"""What is computed next: which tokens of which sequences, in which decodes. Pure.

A step is one llama_decode. A round is a turn of every stream that decodes, one token each, and then
chunks of prompts as far as the round's room goes. Streams of ordinary calls share one step. Prompts
are computed one after the other, oldest first: so the first callers have their first token while
the last ones wait, and each prompt is a step of its own, which costs nothing, for llama.cpp
computes sequences of unequal counts one after the other anyway. Prompts that end within the same
few tokens share a step. Prompts so short that half of the room suffices do not wait behind long
ones. A sequence of a deterministic call has every step to itself, and its prompt is split in the
same way each time, so that its results cannot depend on who else is there. Only where the engine
found at its start that several in a step come out with the same bits as each alone (trial.py),
such calls share steps with their kind: short prompts, so that whoever scores many lines waits half
as long, and streams, in the sizes that were tried, so that many of them cost as much as ordinary
ones.

The room of a round is one budget, the time that a stream may wait, while one prompt waits; for n
prompts n² budgets, up to BUDGETS_MAX. How many tokens fit into it depends on how far into a prompt
they are, and is learned (pace.py). In a burst the prompts come first: callers who have
nothing yet wait less, and sooner there are many streams, whose tokens cost less together. (Worked
out from measured steps for 16 calls of 184 + 96 tokens on one core: budgets divided between prompts
and streams by their numbers took 5 % longer for the whole, 25 % longer for the median first token.)

`Rounds` is asked again after every step, so that whoever comes or goes meanwhile counts at once.

A stream that is alone, with no prompt that waits, may have a step of several tokens: those after
the first are a draft (drafting.py). Beside others it has none: llama.cpp computes sequences of
unequal counts one after the other, and a further token costs as much as another stream's.

From TILE_TOKENS tokens of one sequence on, llama.cpp attends on a CPU by another, tiled kernel: 4 %
faster for a prompt of 184 tokens and 30 % for one of 1,024, with other last bits. Ordinary calls
use it. Chunks of deterministic calls stay below: there prefill in any split, decoding alone,
decoding beside others and reused prefixes were bit-identical on the default model."""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from baton.engine.choice import Choice
from baton.engine.drafting import Costs, Lookup
from baton.engine.pace import TILE_TOKENS, Pace
from baton.engine.runs import PromptGroup

ALONE_CHUNK_TOKENS = 32
"""Split of prompts in deterministic mode: a fixed one, small enough not to hold the others up for
long."""
ROOM_LEFT_MIN = 0.4
"""A round with less than this share of a budget left is over: tiny chunks cost more per token."""
BUDGETS_MAX = 16
"""Budgets that a round's prompts may get: streams wait up to 1.6 s in a burst, and see it through
sooner."""
LONG_BUDGETS = BUDGETS_MAX
"""A prompt of more budgets is long: for no shorter one are streams held up that much anyway."""
STEP_BUDGETS = 4
"""Budgets in one step while no stream waits: whoever comes meanwhile waits for its end."""


class Sequence(msgspec.Struct, eq=False, kw_only=True):
    """A sequence id at work: first on a group's prompt, then on one choice."""

    id: int
    group: PromptGroup
    sample: int
    order: int
    """When its group was admitted: prompts are computed in this order."""
    prompt: list[int]
    alone: bool = False
    aside: bool = False
    """Its prompt is being computed by another thread (prefill.py): it is left out."""
    outputs: bool = False
    """Logits of every prompt token are wanted, not of the last alone."""
    position: int = 0
    """Tokens that its memory holds."""
    computed: list[int] = msgspec.field(default_factory=list)
    """Chunk sizes in which its prompt was computed so far."""
    choice: Choice | None = None
    """None while the prompt is computed."""
    token: int = 0
    """What a decoding sequence computes next."""
    replay: deque[int] = msgspec.field(default_factory=deque)
    """Ids that are fed instead of sampled."""
    lookup: Lookup | None = None
    """Made when drafts may pay for the first time."""
    draft: list[int] = msgspec.field(default_factory=list)
    """What may follow `token`: the next step computes as much of it as its part says."""

    @property
    def decoding(self) -> bool:
        return self.choice is not None

    @property
    def left(self) -> int:
        """Tokens of its prompt that are still to be computed."""
        return len(self.prompt) - self.position

    def rows(self, count: int) -> int:
        """How many rows of logits come out of its next `count` tokens."""
        if self.decoding or self.outputs:
            return count
        return int(self.position + count == len(self.prompt))

    def chunk(self, room: int, tail: int) -> int:
        """How much of its prompt the next step computes: `room` tokens, or all if at most `tail`
        more would be left, where it can be split freely."""
        if self.alone:
            return min(self.left, ALONE_CHUNK_TOKENS)
        return self.left if self.left <= room + tail else room

    def drafts(self, costs: Costs) -> int:
        """How many tokens the next step of this stream computes, if it is the only one."""
        choice = self.choice
        if choice is None or self.alone or self.replay:
            return 1
        if self.lookup is None:
            self.lookup = Lookup(self.group.prompt.ids)
        self.lookup.feed(choice.ids[self.lookup.fed :])
        size = self.lookup.size(costs, self.position, choice.left)
        self.draft = self.lookup.draft(size - 1) if size > 1 else []
        return size


class Part(NamedTuple):
    """So many of a sequence's next tokens."""

    sequence: Sequence
    tokens: int


Step = list[Part]


class Rounds:
    """Tells the next steps, whoever is at work by then.

    Invariants: no step is empty, too long or out of order of ids; every stream has a token in every
    round; in every round the oldest prompt advances, save where shorter ones leave it no room, and
    these get half of a round at most."""

    def __init__(
        self,
        chunk_max: int,
        pace: Pace,
        packs_alone: bool = False,
        sizes: tuple[int, ...] = (),
    ) -> None:
        """What the engine found at its start: whether short deterministic prompts may share a step,
        and how many deterministic streams may (largest first)."""
        self._chunk_max, self._pace, self._packs_alone = chunk_max, pace, packs_alone
        self._sizes = (*sizes, 1)
        self.costs: Costs | None = None
        """Of steps with drafts; None: there are none."""
        self._room_s = self._short_room_s = 0.0
        """How long this round may still compute prompts, and short ones."""

    def next(self, sequences: Iterable[Sequence], budget_s: float) -> list[Step]:
        """A turn of all streams, or one step of prompts; nothing when nobody is able to go on.

        `budget_s`: how long a decoding stream may wait for prompts."""
        able = sorted(
            (s for s in sequences if not s.group.paused and not s.aside), key=lambda s: s.id
        )
        prompts = sorted((s for s in able if not s.decoding), key=lambda s: s.order)
        streams = len(able) - len(prompts)
        over = self._room_s < budget_s * ROOM_LEFT_MIN or not prompts
        if over:
            self._room_s = budget_s * min(len(prompts) ** 2, BUDGETS_MAX)
            self._short_room_s = self._room_s / 2
        if over and streams:
            return self._turn(able)
        if not prompts:
            return []
        first = next((s for s in prompts if self._left_s(s) <= self._short_room_s), prompts[0])
        room = self._pace.tokens(self._room_s, first.position)
        if not streams:
            room = max(self._pace.tokens(budget_s * STEP_BUDGETS, first.position), TILE_TOKENS)
        room = min(room, max(self._chunk_max - TILE_TOKENS, 1))
        # In a burst a rest below the tiled kernel's size goes along.
        burst = not streams or len(prompts) > 1
        tail = TILE_TOKENS - 1 if burst and room >= TILE_TOKENS else 0
        return [self._prompts(prompts, first, room, tail)]

    def long(self, sequences: Iterable[Sequence], budget_s: float) -> Sequence | None:
        """The oldest prompt that would hold streams up for too many rounds, where there are any.

        Not in a burst: there rounds have room for large chunks, and prompts one after the other
        have first tokens sooner. Not one in deterministic shape: another thread splits by its own
        rules."""
        able = [s for s in sequences if not s.group.paused and not s.aside]
        waiting = [s for s in able if not s.decoding]
        if len(waiting) == len(able) or len(waiting) ** 2 >= BUDGETS_MAX:
            return None
        long = (s for s in waiting if not s.alone and self._left_s(s) > budget_s * LONG_BUDGETS)
        return min(long, key=lambda s: s.order, default=None)

    def _turn(self, able: list[Sequence]) -> list[Step]:
        """One token of every stream, and of prompts of which only one is missing; of a stream that
        is alone a draft, too."""
        if len(able) == 1 and self.costs is not None:
            return [[Part(able[0], able[0].drafts(self.costs))]]
        shared = [Part(s, 1) for s in able if not s.alone and (s.decoding or s.left == 1)]
        alone = [Part(s, 1) for s in able if s.alone and s.decoding]
        steps = [shared] if shared else []
        for size in self._sizes:
            while len(alone) >= size:
                steps.append(alone[:size])
                alone = alone[size:]
        return steps

    def outgrown(self, step: Step, left: Step) -> bool:
        """Whether a step of deterministic streams lost some of them, and has a size now that was
        not tried: those that are left are asked for anew."""
        shares = step[0].sequence.alone and step[0].sequence.decoding
        return shares and len(left) not in self._sizes

    def _prompts(self, prompts: list[Sequence], first: Sequence, room: int, tail: int) -> Step:
        """A chunk of the prompt whose turn it is, and others that end within a few tokens."""
        step = [Part(first, first.chunk(room, tail))]
        room = min(room, TILE_TOKENS - 1) - step[0].tokens
        if step[0].tokens == first.left and (self._packs(first) or not first.alone):
            for other in prompts:
                kin = self._packs(other) if first.alone else not other.alone
                if kin and other is not first and other.left <= room:
                    step.append(Part(other, other.left))
                    room -= other.left
        used_s = sum(self._pace.seconds(n, sequence.position) for sequence, n in step)
        if self._left_s(first) <= self._short_room_s:
            self._short_room_s -= used_s
        self._room_s -= used_s
        return sorted(step, key=lambda part: part.sequence.id)

    def _left_s(self, sequence: Sequence) -> float:
        """How long the rest of a prompt takes, if it were one chunk."""
        return self._pace.seconds(sequence.left, sequence.position)

    def _packs(self, sequence: Sequence) -> bool:
        """Whether a deterministic prompt may share a step with others of its kind: one that is
        whole, and would be one chunk alone."""
        return (
            self._packs_alone
            and sequence.alone
            and not sequence.position
            and sequence.left <= ALONE_CHUNK_TOKENS
        )
